package async_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
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

// A long CopyTo lets an Open pass that has come after it.
func TestLongCopyLetsOpenPass(t *testing.T) {
	var mu sync.Mutex
	var ops []string
	p := open(t, async.PoolOptions{
		Meta: async.LaneOptions{Width: 1},
		Hooks: async.Hooks{OnDone: func(l async.Lane, op string, _ time.Duration, _ error) {
			if l == async.LaneMeta {
				mu.Lock()
				defer mu.Unlock()
				ops = append(ops, op)
			}
		}},
	})
	f := async.Wrap(p, core.NewMemory("memory", pattern(4<<20)))
	closedAtEnd(t, f)
	name := diskFile(t, pattern(100))
	to := filepath.Join(t.TempDir(), "copy")
	free := occupy(t, p, async.LaneMeta)
	copying, opening := f.CopyTo(bg, to, 0, 4<<20), async.Open(bg, p, name, core.Options{})
	free()
	opened, err := opening.Await(bg)
	check(t, err)
	closedAtEnd(t, opened)
	check(t, copying.Wait())
	b, err := os.ReadFile(to)
	if err != nil || !bytes.Equal(b, pattern(4<<20)) {
		t.Errorf("the copy has other bytes, or error %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if got, want := ops[:3], []string{"go", "copy", "open"}; !slices.Equal(got, want) {
		t.Errorf("first tasks of the Meta lane: got %q, want %q", got, want)
	}
	if n := len(ops); n < 1+1+4 { // occupy, Open, and a chunk for each MiB
		t.Errorf("tasks of the Meta lane: got %q, want one per step of the copy", ops)
	}
}
