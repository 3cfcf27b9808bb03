package torture

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

// full is the length of a victim that has not been cut.
const full = 256 * kib

// A victim is a mapped file that is cut, filled up and replaced while it is
// used.
type victim struct {
	*async.File
	salt byte     // of its bytes: each is letter(off, salt) or 0
	hand *os.File // by which it is cut, also when its name means another file
}

// An attack is one victim, or one after the other, and all its users.
type attack struct {
	name string // of every victim
	dir  string // for what users make
	pool *async.Pool
	now  atomic.Pointer[victim]
	salt byte       // of the file that has the name
	disk *disk.Disk // nil: one that does not fail

	// used gets a value for each use. Users may be a round ahead of the
	// attacker, and no more: else they would leave it no processor, and meet
	// each of its deeds a hundred times.
	used  chan struct{}
	over  chan struct{}         // closed when users shall end
	seen  tally                 // of outcomes by kind, and by access and kind
	wrong atomic.Pointer[error] // the first
}

// users of an attack; writers are the last third.
const users = 12

// Readers and writers use a file through everything the library offers, while
// the file is cut, filled up, replaced, resized and opened again under them,
// and while the disk cannot read it: ten thousand times. The process lives, and
// errors say what happened.
func TestFaultStorm(t *testing.T) {
	for _, tt := range []struct {
		disk   string
		rounds int
	}{{"ext4", 5000}, {"tmpfs", 3000}, {"failing", 2000}} {
		t.Run(tt.disk, func(t *testing.T) {
			testutil.NoLeaks(t)
			s := newStorm(t, tt.disk)
			rnd := testutil.Rand(t)
			check(t, s.replace())
			check(t, s.reopen())
			var all sync.WaitGroup
			for i := range users {
				u := &user{attack: s, rnd: rand.New(rand.NewPCG(rnd.Uint64(), 0)), id: i, writes: i >= 2*users/3, buf: make([]byte, full/4)}
				all.Go(u.run) // ends with over
			}
			b := newBudget(tt.rounds)
			for s.wrong.Load() == nil && b.next() {
				check(t, s.attack(t, rnd))
				for range users {
					<-s.used
				}
			}
			close(s.over)
			all.Wait()
			if err := s.wrong.Load(); err != nil {
				t.Error(*err)
			}
			s.report(t, b)
			s.end(t)
			healthy(t, s.dir)
		})
	}
}

// newStorm makes the disk: of a file system, or ext4 on one that can fail.
func newStorm(t *testing.T, kind string) *attack {
	s := &attack{used: make(chan struct{}, users), over: make(chan struct{})}
	if kind == "failing" {
		s.disk = disk.Start(t, 64*mib)
		s.dir = must[string](t)(s.disk.Mount("ext4"))
	} else {
		s.dir = testutil.LoopDisk(t, 64*mib, kind)
	}
	s.name = filepath.Join(s.dir, "victim")
	s.pool = must[*async.Pool](t)(async.NewPool(async.PoolOptions{}))
	return s
}

// end closes what the attack has open.
func (s *attack) end(t *testing.T) {
	if s.disk != nil {
		check(t, s.disk.Heal())
	}
	check(t, s.now.Load().Close())
	check(t, s.now.Load().hand.Close())
	check(t, s.pool.Close())
}

// report prints the counts and checks that every access has gone well and,
// where it can, met a fault. Of the failing disk only what is not in memory
// fails, which some accesses may miss; TestUnreadable sends all of them there.
func (s *attack) report(t *testing.T, b *budget) {
	for _, a := range accesses {
		if s.seen.of(a.name+": went well") == 0 {
			t.Errorf("%s never went well", a.name)
		}
		if a.faults && s.disk == nil && s.seen.of(a.name+": fault") == 0 {
			t.Errorf("%s never met a fault", a.name)
		}
	}
	if s.seen.of("fault") == 0 {
		t.Error("nothing met a fault")
	}
	counted(t, "%d rounds, %d uses by %d kinds of access: %d went well, %d faults, %d out of range, %d ends of file, %d closed", b.rounds.Load(),
		s.seen.of("used"), len(accesses), s.seen.of("went well"), s.seen.of("fault"), s.seen.of("range"), s.seen.of("end"), s.seen.of("closed"))
}

// replace lets the name mean a new file.
func (s *attack) replace() error {
	s.salt += 2 // as letter has the lowest bit always set
	temp := s.name + ".new"
	if err := os.WriteFile(temp, pattern(0, full, s.salt), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, s.name)
}

// reopen closes the victim and opens what has its name now.
func (s *attack) reopen() error {
	if v := s.now.Load(); v != nil {
		if err := errors.Join(v.Close(), v.hand.Close()); err != nil {
			return err
		}
	}
	f, err := async.Open(bg, s.pool, s.name, core.Options{Access: core.ReadWrite}).Await(bg)
	if err != nil {
		return err
	}
	hand, err := os.OpenFile(s.name, os.O_RDWR, 0)
	s.now.Store(&victim{f, s.salt, hand})
	return err
}

// attack does one thing to the victim. The test ends where a file cannot be
// made cold.
func (s *attack) attack(t *testing.T, rnd *rand.Rand) error {
	v := s.now.Load()
	if s.disk != nil {
		if err := s.disk.Heal(); err != nil {
			return err
		}
		if rnd.IntN(2) == 0 {
			return s.unreadable(t, v, some(rnd))
		}
	}
	size := rnd.Int64N(full + 1)
	switch n := rnd.IntN(100); {
	case n < 45:
		return v.hand.Truncate(size)
	case n < 80:
		return v.hand.Truncate(full)
	case n < 88:
		return second(v.Core().Refresh())
	case n < 94:
		return v.Core().Truncate([]int64{size, full}[n%2])
	case n < 98:
		return s.replace()
	}
	return s.reopen()
}

// record counts an outcome, and remembers one that should not be.
func (s *attack) record(access string, err error) {
	var fault *core.FaultError
	var path *fs.PathError
	kind := "went well"
	switch {
	case err == nil:
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		kind = "end"
	case !errors.As(err, &path) || path.Path != s.name:
		kind = "wrong"
	case errors.Is(err, fs.ErrClosed):
		kind = "closed"
	case errors.Is(err, core.ErrRange):
		kind = "range"
	case s.disk != nil && access == "PunchHole" && errors.Is(err, syscall.EIO):
		kind = "unreadable" // the ends of a hole are parts of blocks, which the file system has to read
	case errors.As(err, &fault) && errors.Is(err, core.ErrFault) && fault.Offset >= 0 && fault.Offset < full:
		kind = "fault"
	default:
		kind = "wrong"
	}
	s.seen.add("used", 1)
	s.seen.add(kind, 1)
	s.seen.add(access+": "+kind, 1)
	if kind == "wrong" {
		err = fmt.Errorf("%s: %w (%T)", access, err, err)
		s.wrong.CompareAndSwap(nil, &err)
	}
	select {
	case s.used <- struct{}{}:
	case <-s.over:
	}
}
