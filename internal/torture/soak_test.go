package torture

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

// pause slows a long soak down, so that other work of the machine goes on.
var pause = flag.Duration("torture.pause", 0, "how long each goroutine of TestSoak waits between its operations")

const (
	soakFiles = 300 // in the set
	soakOpen  = 24  // of these at a time
	soakBytes = 16 * mib
)

// A soaking is what TestSoak does its work on.
type soaking struct {
	dir   string
	pool  *async.Pool
	big   *async.File // only read; of soakBytes
	short *async.File // only resized, up to 8 MiB
	set   *async.FileSet
	names []string // of the set
	seen  tally
}

// Pins, shrinks, page-ins, copies, locks, flushes and the files of a set, all at
// once and for as long as the flag says, leave the process as it was: memory,
// goroutines, descriptors and mappings are flat from the first stretch of time to
// the last.
func TestSoak(t *testing.T) {
	testutil.RequireLinux(t, "/proc")
	testutil.NoLeaks(t)
	s := newSoaking(t)
	stretches, seed := 4, testutil.Seed(t)
	if *soak > 0 {
		stretches = min(max(4, int(*soak/time.Minute)), 60)
	}
	var first, last usage
	for i := range stretches {
		if err := s.work(stretches, seed+uint64(i)); err != nil {
			t.Fatal(err)
		}
		last = s.usage(t)
		if i == 1 { // what is made once is there
			first = last
		}
		t.Logf("%s stretch %d of %d: %v", time.Now().Format(time.TimeOnly), i+1, stretches, last)
	}
	last.flat(t, first)
	counted(t, "%v; the set: %+v", &s.seen, s.set.Stats())
	check(t, s.set.Close())
	check(t, s.big.Close())
	check(t, s.short.Close())
	check(t, s.pool.Close())
}

func newSoaking(t *testing.T) *soaking {
	s := &soaking{dir: t.TempDir()}
	s.pool = must[*async.Pool](t)(async.NewPool(async.PoolOptions{}))
	name := filepath.Join(s.dir, "big")
	check(t, os.WriteFile(name, pattern(0, soakBytes, 0), 0o600))
	open := func(name string, o core.Options) *async.File {
		return must[*async.File](t)(async.Open(context.Background(), s.pool, name, o).Await(context.Background()))
	}
	s.big = open(name, core.Options{})
	s.short = open(filepath.Join(s.dir, "short"), core.Options{Access: core.ReadWrite, Create: true, Size: mib, Reserve: 4 * mib})
	check(t, os.Mkdir(filepath.Join(s.dir, "set"), 0o700))
	for i := range soakFiles {
		s.names = append(s.names, filepath.Join(s.dir, "set", fmt.Sprint(i)))
		check(t, os.WriteFile(s.names[i], pattern(0, 4*kib, byte(i)), 0o600))
	}
	s.set = must[*async.FileSet](t)(async.NewFileSet(s.pool, async.FileSetOptions{
		Open: core.Options{Access: core.ReadWrite}, MaxOpen: soakOpen, Idle: 50 * time.Millisecond,
	}))
	return s
}

// work has every kind of operation go on for one stretch of so many, two
// goroutines each, and returns the first error.
func (s *soaking) work(stretches int, seed uint64) error {
	kinds := map[string]func(ctx context.Context, r *rand.Rand) error{
		"pins": s.pins, "resizes": s.resizes, "page-ins": s.pageIns, "copies": s.copies, "locks": s.locks, "files": s.files,
	}
	var wg sync.WaitGroup
	failed := make(chan error, 2*len(kinds))
	for what, do := range kinds {
		b := &budget{limit: 100}
		if *soak > 0 {
			b.end = time.Now().Add(*soak / time.Duration(stretches))
		}
		for w := range 2 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(w)+uint64(len(what))<<8))
				for b.next() {
					ctx, cancel := context.WithCancel(context.Background())
					if r.IntN(4) == 0 {
						ctx, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(3000))*time.Microsecond)
					}
					err := do(ctx, r)
					given := ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
					cancel()
					switch {
					case given:
						s.seen.add(what+" given up", 1)
					case err != nil:
						failed <- fmt.Errorf("%s: %w", what, err)
						return
					default:
						s.seen.add(what, 1)
					}
					if *pause > 0 {
						<-time.After(*pause)
					}
				}
			})
		}
	}
	wg.Wait()
	close(failed)
	return <-failed
}

// pins takes pins and parts of pins, and releases them in another order.
func (s *soaking) pins(_ context.Context, r *rand.Rand) error {
	var pins []*core.Pin
	defer func() {
		for _, p := range pins {
			p.Release()
		}
	}()
	for range 1 + r.IntN(100) {
		off, n := r.Int64N(soakBytes-64*kib), 1+r.Int64N(64*kib)
		p, err := s.big.Core().Pin(off, n)
		if err != nil {
			return err
		}
		pins = append(pins, p)
		if r.IntN(4) == 0 {
			part, err := p.Slice(0, p.Len())
			if err != nil {
				return err
			}
			pins = append(pins, part)
		}
	}
	r.Shuffle(len(pins), func(i, j int) { pins[i], pins[j] = pins[j], pins[i] })
	p := pins[0]
	return p.Do(func(b []byte) error {
		if !bytes.Equal(b, pattern(p.Offset(), len(b), 0)) {
			return errors.New("a pin has wrong bytes")
		}
		return nil
	})
}

// resizes shortens and lengthens a file in which others hold pins for a moment.
func (s *soaking) resizes(ctx context.Context, r *rand.Rand) error {
	pin, err := s.short.Core().Pin(0, 1+r.Int64N(64*kib))
	if err != nil {
		return err
	}
	size := 64*kib + r.Int64N(8*mib)
	resized := s.short.Truncate(ctx, size)
	if r.IntN(2) == 0 {
		pin.Release()
	}
	err = resized.Wait() // the pin is before every end
	pin.Release()
	if err != nil {
		return err
	}
	return s.short.Flush().Wait()
}

// pageIns drops pages and has them brought in again.
func (s *soaking) pageIns(ctx context.Context, r *rand.Rand) error {
	n := 1 + r.Int64N(4*mib)
	off := r.Int64N(soakBytes - n)
	if err := s.big.Core().Advise(core.AdvicePageOut, off, n); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if r.IntN(2) == 0 {
		return s.big.PageIn(ctx, off, n).Wait()
	}
	pin, err := s.big.Load(ctx, off, n).Await(context.Background())
	if err != nil {
		return err
	}
	defer pin.Release()
	if at := r.Int64N(n); pin.Bytes()[at] != letter(off+at, 0) {
		return fmt.Errorf("the byte at %d is wrong", off+at)
	}
	return nil
}

// copies makes a copy, or a part of one, and removes it.
func (s *soaking) copies(ctx context.Context, r *rand.Rand) error {
	name := filepath.Join(s.dir, fmt.Sprint("copy", r.Uint64()))
	n := 1 + r.Int64N(mib)
	if err := s.big.CopyTo(ctx, name, r.Int64N(soakBytes-n), n).Wait(); err != nil {
		return err
	}
	f, err := core.OpenFile(name, core.Options{RemoveOnClose: true})
	if err != nil {
		return err
	}
	if f.Len() != n {
		err = fmt.Errorf("a copy of %d bytes has %d", n, f.Len())
	}
	return errors.Join(err, f.Close())
}

// locks waits for a lock of a range by a descriptor of its own, and holds it for a
// moment.
func (s *soaking) locks(ctx context.Context, r *rand.Rand) error {
	f, err := os.OpenFile(s.names[0]+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	l := lock.New(f)
	if r.IntN(2) == 0 {
		l = l.Range(r.Int64N(100), 1+r.Int64N(50))
	}
	mode := lock.Shared
	if r.IntN(2) == 0 {
		mode = lock.Exclusive
	}
	if err := l.Acquire(ctx, mode); err != nil {
		return err
	}
	runtime.Gosched()
	return l.Release()
}

// files uses a file of the set, and has it pinned a little longer than leased.
func (s *soaking) files(ctx context.Context, r *rand.Rand) error {
	i := r.IntN(soakFiles)
	l, err := s.set.Get(ctx, s.names[i]).Await(context.Background())
	if err != nil {
		return err
	}
	defer l.Release()
	pin, err := l.File().Load(ctx, 0, 4*kib).Await(context.Background())
	if err != nil {
		return err
	}
	defer pin.Release()
	want := pattern(0, 4*kib, byte(i))
	if !bytes.Equal(pin.Bytes(), want) {
		return fmt.Errorf("file %d of the set has wrong bytes", i)
	}
	if n := s.set.Stats().Open; n > soakOpen {
		return fmt.Errorf("%d files of the set are open, of at most %d", n, soakOpen)
	}
	if r.IntN(8) == 0 {
		copy(pin.Bytes()[:100], want)
		flushed := l.File().Flush()
		l.Release() // while the flush is under way
		return flushed.Wait()
	}
	return nil
}

// A usage is what the process has when nothing is under way.
type usage struct {
	heap, resident          uint64 // bytes
	goroutines              int
	descriptors, mappings   int // without those of files of the set
	setDescriptors, setMaps int
}

func (u usage) String() string {
	return fmt.Sprintf("heap %d KiB, resident %d KiB, %d goroutines, %d descriptors, %d mappings of files, and %d, %d of the set",
		u.heap/kib, u.resident/kib, u.goroutines, u.descriptors, u.mappings, u.setDescriptors, u.setMaps)
}

// usage waits until the files that are not used are closed, and counts what is
// left.
func (s *soaking) usage(t *testing.T) (u usage) {
	for end := time.Now().Add(10 * time.Second); s.set.Stats().Open > 0 && time.Now().Before(end); {
		<-time.After(5 * time.Millisecond)
	}
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.heap = m.HeapAlloc
	fields := strings.Fields(string(must[[]byte](t)(os.ReadFile("/proc/self/statm"))))
	_ = second(fmt.Sscan(fields[1], &u.resident))
	u.resident *= uint64(os.Getpagesize())
	for end := time.Now().Add(5 * time.Second); ; <-time.After(5 * time.Millisecond) {
		if u.goroutines = runtime.NumGoroutine(); u.goroutines <= 2 || time.Now().After(end) {
			break
		}
	}
	h := must[testutil.Holdings](t)(testutil.Held())
	count := func(held map[string]int, ofSet, others *int) {
		for name, n := range held {
			if strings.HasPrefix(name, filepath.Join(s.dir, "set")) {
				*ofSet += n
			} else {
				*others += n
			}
		}
	}
	count(h.Descriptors, &u.setDescriptors, &u.descriptors)
	count(h.Mappings, &u.setMaps, &u.mappings)
	return u
}

// flat reports what has grown since first.
func (u usage) flat(t *testing.T, first usage) {
	t.Helper()
	if u.goroutines > first.goroutines || u.descriptors > first.descriptors || u.mappings > first.mappings ||
		u.setDescriptors > 0 || u.setMaps > 0 || u.heap > first.heap+first.heap/4+mib {
		t.Errorf("at first: %v\nin the end: %v", first, u)
	}
}
