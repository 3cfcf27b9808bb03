package async_test

import (
	"testing"

	"github.com/fmmap-go/fmmap/async"
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
