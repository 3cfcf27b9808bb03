package async_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

// One worker per lane serves any number of waits at once.
func TestOneWorkerServesAll(t *testing.T) {
	const n = 100
	p := narrow(t)
	f := onDisk(t, p, 1<<20)
	held, err := f.Lock(bg, lock.Exclusive).Await(bg)
	check(t, err)
	pin := pinned(t, f, 1<<20-10, 10)
	var locks []*async.Future[*async.FileLock]
	var cuts, flushes []*async.Future[struct{}]
	for i := range int64(n) {
		locks = append(locks, f.Lock(bg, lock.Exclusive))
		cuts = append(cuts, f.Truncate(bg, 1<<20-20-i*100))
		flushes = append(flushes, f.FlushRange(i*100, 100))
	}
	for _, flushed := range flushes {
		check(t, flushed.Wait())
	}
	other := onDisk(t, p, 10)
	check(t, other.Truncate(bg, 5).Wait())
	for i := range n {
		pending(t, locks[i])
		pending(t, cuts[i])
	}
	pin.Release()
	for _, cut := range cuts {
		check(t, cut.Wait())
	}
	if got := f.Core().Len(); got != 1<<20-20-99*100 {
		t.Errorf("Len: got %d, want that of the last Truncate", got)
	}
	for _, l := range locks {
		pending(t, l)
		check(t, held.Release())
		held, err = l.Await(bg)
		check(t, err)
	}
	check(t, held.Release())
}

// No operation blocks its caller while every worker is stuck, and no lane waits
// for another.
func TestOperationsDoNotWait(t *testing.T) {
	t.Run("callers", func(t *testing.T) {
		p := narrow(t)
		for _, o := range operations {
			t.Run(o.name, func(t *testing.T) {
				f := cold(t, p, 100_000)
				free := occupy(t, p, async.LaneShort, async.LaneFlush, async.LanePage, async.LaneMeta)
				w := o.call(bg, f) // returns
				free()
				check(t, w.Wait())
				giveBack(w)
			})
		}
	})
	for _, c := range []struct {
		name  string
		stuck []async.Lane
		do    func(f *async.File) error
	}{
		{"flush", []async.Lane{async.LaneShort, async.LanePage, async.LaneMeta}, func(f *async.File) error { return f.Flush().Wait() }},
		{"page", []async.Lane{async.LaneShort, async.LaneFlush, async.LaneMeta}, func(f *async.File) error { return f.PageIn(bg, 0, 10).Wait() }},
		{"meta", []async.Lane{async.LaneShort, async.LaneFlush, async.LanePage}, func(f *async.File) error { return f.Truncate(bg, 10).Wait() }},
		{"close", []async.Lane{async.LaneShort, async.LaneFlush, async.LanePage}, func(f *async.File) error { return f.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := narrow(t)
			f := cold(t, p, 100_000)
			occupy(t, p, c.stuck...)
			check(t, c.do(f))
		})
	}
}

// A CopyTo that does not get on delays no Open, and two copies take turns.
func TestLongCopyLetsOpenPass(t *testing.T) {
	const step = 1 << 20 // of a copy of memory
	stuck, free := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var short *async.Future[struct{}] // there by the time that free is closed
	copied, before := 0, 0            // steps, and those that had begun when short had ended
	p := open(t, async.PoolOptions{
		Meta: async.LaneOptions{Width: 1},
		Hooks: async.Hooks{OnStart: func(_ async.Lane, op string, _ time.Duration) {
			if op != "copy" {
				return
			}
			once.Do(func() {
				close(stuck)
				<-free
			})
			if _, _, ended := short.TryResult(); ended && before == 0 {
				before = copied
			}
			copied++ // the lane has one worker
		}},
	})
	f := async.Wrap(p, core.NewMemory("memory", pattern(4*step)))
	closedAtEnd(t, f)
	release := sync.OnceFunc(func() { close(free) })
	t.Cleanup(release)
	dir := t.TempDir()
	name := diskFile(t, pattern(100))
	long := f.CopyTo(bg, filepath.Join(dir, "long"), 0, 4*step)
	<-stuck
	short = f.CopyTo(bg, filepath.Join(dir, "short"), 0, 1)

	opened, err := async.Open(bg, p, name, core.Options{Access: core.ReadWrite}).Await(bg) // while the copy is stuck
	check(t, err)
	check(t, opened.Truncate(bg, 100).Wait())
	check(t, opened.Close())
	pending(t, long)
	pending(t, short)

	release()
	check(t, short.Wait())
	check(t, long.Wait())
	for name, n := range map[string]int{"long": 4 * step, "short": 1} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(b, pattern(4 * step)[:n]) {
			t.Errorf("the %s copy has other bytes, or error %v", name, err)
		}
	}
	if copied != 6+3 { // the beginning, a chunk for each MiB, and the end
		t.Errorf("steps of the copies: got %d, want 9", copied)
	}
	if before == 0 || before > 7 {
		t.Errorf("the short copy had ended when step %d of both began (0 is none), want it not to wait for the long one", before+1)
	}
	if got := p.Stats().Meta.Done; got < 9 {
		t.Errorf("Stats: got %d tasks of lane Meta, want those of copies too", got)
	}
}

// A closing, which has to unmap the file, delays no Open, not that of a set of
// files either, which closes one file for another.
func TestLongCloseLetsOpenPass(t *testing.T) {
	free := make(chan struct{})
	release := sync.OnceFunc(func() { close(free) })
	p := open(t, async.PoolOptions{
		Meta: async.LaneOptions{Width: 1},
		Hooks: async.Hooks{OnStart: func(_ async.Lane, op string, _ time.Duration) {
			if op == "close" {
				<-free
			}
		}},
	})
	t.Cleanup(release)
	testutil.RequireDescriptors(t, 150)
	names := manyFiles(t, 66)
	closing, err := async.Open(bg, p, names[65], core.Options{}).Await(bg)
	check(t, err)
	closed := closing.StartClose(bg)
	s := fileSet(t, p, async.FileSetOptions{MaxOpen: 64}) // of which it keeps two free
	t.Cleanup(release)
	for i := range 64 {
		use(t, s, names, i)
	}
	if got := s.Stats().Evicted; got == 0 {
		t.Error("no file is being closed for another")
	}
	pending(t, closed)
	release()
	check(t, closed.Wait())
}
