package async_test

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// Shrinking and closing wait for pins and page-ins, not on a worker, and later
// changes wait behind them.
func TestChangesHoldNoWorker(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			p := narrow(t)
			f := k.open(t, p, 10_000)
			pin := pinned(t, f, 9000, 1000)
			shrink := f.Truncate(bg, 5000)
			grow := f.Truncate(bg, 20_000)
			if n := f.Core().Len(); n != 5000 {
				t.Errorf("new operations see %d bytes, want 5000", n)
			}
			wantErr(t, "Load past the new end", f.Load(bg, 9000, 10).Wait(), core.ErrRange)
			if s := p.Stats().Meta; s.Running != 0 || s.Queued != 0 {
				t.Errorf("a change that waits: %d workers and %d tasks, want none", s.Running, s.Queued)
			}
			pending(t, shrink)
			pending(t, grow)
			other := k.open(t, p, 10)
			check(t, other.Truncate(bg, 5).Wait()) // Meta is free
			pin.Release()
			check(t, shrink.Wait())
			check(t, grow.Wait())

			pin = pinned(t, f, 0, 10)
			closing := f.StartClose(bg)
			wantErr(t, "Load after Close", f.Load(bg, 0, 10).Wait(), fs.ErrClosed)
			pending(t, closing)
			check(t, other.Close())
			pin.Release()
			check(t, closing.Wait())
		})
	}
}

// A page-in pins its bytes, so changes wait for it.
func TestPageInHoldsChanges(t *testing.T) {
	p := narrow(t)
	f := cold(t, p, 100_000)
	free := occupy(t, p, async.LanePage)
	in := f.PageIn(bg, 50_000, 10)
	load := f.Load(bg, 0, 10)
	cut := f.Truncate(bg, 10)
	closing := f.StartClose(bg)
	for _, waits := range []*async.Future[struct{}]{in, cut, closing} {
		pending(t, waits)
	}
	free()
	check(t, in.Wait())
	check(t, cut.Wait())
	pin, err := load.Await(bg) // accepted before Close
	check(t, err)
	pending(t, closing)
	pin.Release()
	check(t, closing.Wait())
}

func TestTruncateGivenUp(t *testing.T) {
	p := narrow(t)
	cause := errors.New("enough")
	for _, c := range []struct {
		name string
		run  func(t *testing.T, f *async.File, ctx context.Context, cancel func())
	}{
		{"while it waits for a pin", func(t *testing.T, f *async.File, ctx context.Context, cancel func()) {
			pin := pinned(t, f, 9000, 10)
			cut := f.Truncate(ctx, 5000)
			pending(t, cut)
			cancel()
			if err := cut.Wait(); err != cause {
				t.Errorf("got %v, want the context's cause", err)
			}
			pin.Release()
		}},
		{"behind another", func(t *testing.T, f *async.File, ctx context.Context, cancel func()) {
			pin := pinned(t, f, 9000, 10)
			first := f.Truncate(bg, 5000)
			second := f.Truncate(ctx, 4000)
			cancel()
			if err := second.Wait(); err != cause {
				t.Errorf("got %v, want the context's cause", err)
			}
			pin.Release()
			check(t, first.Wait())
			if n := f.Core().Len(); n != 5000 {
				t.Errorf("Len: got %d, want 5000", n)
			}
			check(t, f.Truncate(bg, 10_000).Wait())
		}},
		{"in the queue of the lane", func(t *testing.T, f *async.File, ctx context.Context, cancel func()) {
			if sys.ShrinkNeedsUnmap {
				t.Skip("needs a system that shortens a file while it is mapped")
			}
			free := occupy(t, p, async.LaneMeta)
			cut := f.Truncate(ctx, 5000)
			cancel()
			free()
			if err := cut.Wait(); err != cause {
				t.Errorf("got %v, want the context's cause", err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := onDisk(t, p, 10_000)
			ctx, cancel := context.WithCancelCause(bg)
			defer cancel(nil)
			c.run(t, f, ctx, func() { cancel(cause) })
			if n := f.Core().Len(); n != 10_000 {
				t.Errorf("Len: got %d, want what it was", n)
			}
			check(t, f.Truncate(bg, 100).Wait()) // nothing stands in the way
		})
	}
}

// When a context ends at the moment of the last release, exactly one of them ends
// the change.
func TestTruncateTie(t *testing.T) {
	p := narrow(t)
	f := onDisk(t, p, 10_000)
	for range 500 {
		pin := pinned(t, f, 9000, 10)
		ctx, cancel := context.WithCancel(bg)
		cut := f.Truncate(ctx, 5000)
		var wg sync.WaitGroup
		wg.Go(cancel)
		wg.Go(pin.Release)
		wg.Wait()
		size := int64(5000)
		if err := cut.Wait(); err != nil {
			wantErr(t, "Truncate", err, context.Canceled)
			size = 10_000
		}
		if n := f.Core().Len(); n != size {
			t.Fatalf("Len: got %d, want %d", n, size)
		}
		check(t, f.Truncate(bg, 10_000).Wait())
	}
}

// A Meta lane that is full refuses a Truncate, which then has changed nothing,
// but not a Close.
func TestChangesOverloaded(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			p := open(t, async.PoolOptions{Meta: async.LaneOptions{Width: 1, Queue: 1}})
			f := k.open(t, p, 10_000)
			if !k.only && sys.ShrinkNeedsUnmap {
				t.Skip("needs a system that shortens a file while it is mapped")
			}
			free := occupy(t, p, async.LaneMeta)
			queued := async.Open(bg, p, diskFile(t, nil), core.Options{})
			wantErr(t, "Truncate", f.Truncate(bg, 5000).Wait(), async.ErrOverloaded)
			if n := f.Core().Len(); n != 10_000 {
				t.Errorf("Len: got %d, want what it was", n)
			}
			check(t, f.Core().Truncate(100)) // no change was left behind
			free()
			check(t, f.Close())
			other, err := queued.Await(bg)
			check(t, err)
			check(t, other.Close())
		})
	}
}

// Growing memory past its capacity happens wherever the last use ends, which no
// lane can refuse.
func TestGrowthOfMemoryOverloaded(t *testing.T) {
	p := open(t, async.PoolOptions{Meta: async.LaneOptions{Width: 1, Queue: 1}})
	f := async.Wrap(p, core.NewMemory("memory", pattern(100)))
	closedAtEnd(t, f)
	free := occupy(t, p, async.LaneMeta)
	queued := async.Open(bg, p, diskFile(t, nil), core.Options{})
	if err := f.Truncate(bg, 1000).Wait(); err == nil && f.Core().Len() != 1000 || err != nil && f.Core().Len() != 100 {
		t.Errorf("Truncate: error %v, and the file is %d bytes long", err, f.Core().Len())
	}
	free()
	other, err := queued.Await(bg)
	check(t, err)
	check(t, other.Close())
}

// Close lets operations finish that were accepted before it.
func TestCloseWithOperationsInFlight(t *testing.T) {
	const size = 1 << 20
	p := narrow(t)
	f := cold(t, p, size)
	c := watchCalls(t)
	arrived, releaseFlush := c.hold(t, sys.OpMsync, 0)
	flushing := f.FlushRange(0, 10)
	<-arrived
	waiting := f.Flush()
	free := occupy(t, p, async.LaneShort, async.LanePage, async.LaneMeta)
	read, write := f.ReadAt(bg, make([]byte, 100_000), 0), f.WriteAt(bg, make([]byte, 10), 200_000)
	in, copied := f.PageIn(bg, 300_000, 10), f.CopyTo(bg, f.Core().Name()+"2", 0, 10)
	removed := f.Remove(bg)
	closing := f.StartClose(bg)
	for _, o := range operations {
		wantErr(t, o.name+" after Close", o.call(bg, f).Wait(), fs.ErrClosed)
	}
	free()
	want(t, read, 100_000, nil)
	want(t, write, 10, nil)
	for _, done := range []*async.Future[struct{}]{in, copied, removed} {
		check(t, done.Wait())
	}
	pending(t, closing)
	pending(t, waiting)
	releaseFlush()
	check(t, flushing.Wait())
	check(t, waiting.Wait())
	check(t, closing.Wait())
}

// The same where only a queued operation keeps the file open.
func TestCloseWaitsForQueuedOperations(t *testing.T) {
	for _, l := range []async.Lane{async.LaneShort, async.LanePage, async.LaneMeta} {
		t.Run(l.String(), func(t *testing.T) {
			p := narrow(t)
			f := cold(t, p, 1<<20)
			free := occupy(t, p, l)
			read := f.ReadAt(bg, make([]byte, 100_000), 0)
			write := f.WriteAt(bg, make([]byte, 10), 200_000)
			copied := f.CopyTo(bg, f.Core().Name()+"2", 0, 10)
			closing := f.StartClose(bg)
			pending(t, closing)
			free()
			want(t, read, 100_000, nil)
			want(t, write, 10, nil)
			check(t, copied.Wait())
			check(t, closing.Wait())
		})
	}
}

// A done context ends the wait for a Close, and not the closing.
func TestCloseGivenUp(t *testing.T) {
	p := narrow(t)
	name := diskFile(t, pattern(100))
	f := opened(t, p, name, core.Options{Access: core.ReadWrite})
	pin := pinned(t, f, 0, 10)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(bg)
	closing := f.StartClose(ctx)
	pending(t, closing)
	cancel(cause)
	if err := closing.Wait(); err != cause {
		t.Errorf("got %v, want the context's cause", err)
	}
	wantErr(t, "Load", f.Load(bg, 0, 10).Wait(), fs.ErrClosed)
	pin.Release()
	settled(func() bool { // by itself
		c, err := core.OpenFile(name, core.Options{Access: core.ReadWrite})
		if err == nil {
			check(t, c.Close())
		}
		return err == nil
	})
	t.Run("before it began", func(t *testing.T) {
		f := opened(t, p, name, core.Options{Access: core.ReadWrite})
		if err := f.CloseContext(ctx); err != nil && err != cause {
			t.Errorf("got %v, want nil or the context's cause", err)
		}
		wantErr(t, "Load", f.Load(bg, 0, 10).Wait(), fs.ErrClosed)
	})
}

// A pool that has closed serves no file, but lets it close.
func TestFileOfClosedPool(t *testing.T) {
	p, err := async.NewPool(async.PoolOptions{})
	check(t, err)
	f := cold(t, p, 100_000)
	check(t, p.Close())
	for _, o := range operations {
		w := o.call(bg, f)
		if err := w.Wait(); err != nil || o.meta { // the others need no pool for what is resident
			wantErr(t, o.name, err, async.ErrClosed)
		}
		giveBack(w)
	}
	check(t, f.Core().Truncate(50)) // no change was left behind
	check(t, f.Close())
}

// A pool that drops the last step of a Close does not keep the file open.
func TestCloseDroppedByPool(t *testing.T) {
	p, err := async.NewPool(async.PoolOptions{Meta: async.LaneOptions{Width: 1}})
	check(t, err)
	f := onDisk(t, p, 1000)
	free := occupy(t, p, async.LaneMeta)
	closing := f.StartClose(bg)
	pending(t, closing)
	ctx, cancel := context.WithCancel(bg)
	cancel()
	wantErr(t, "Close of the pool", p.CloseContext(ctx), context.Canceled)
	check(t, closing.Wait())
	free()
	check(t, p.Close())
}

// A pool that is closed with full queues resolves what is in them, and each file
// is whole.
func TestPoolClosedWithFullQueues(t *testing.T) {
	const size = 1 << 20
	few := async.LaneOptions{Width: 1, Queue: 8}
	p, err := async.NewPool(async.PoolOptions{Short: few, Flush: few, Page: few, Meta: few})
	check(t, err)
	f := cold(t, p, size)
	other := onDisk(t, p, size)
	quit := occupy(t, p, async.LaneShort, async.LaneFlush, async.LanePage, async.LaneMeta)
	quitStores := occupyStores(t, f)
	var all []waiter
	for i := range int64(20) {
		all = append(all, f.PageIn(bg, i*20_000, 10), f.Load(bg, i*20_000+5000, 10),
			f.ReadAt(bg, make([]byte, 10), i*20_000+10_000), f.WriteAt(bg, make([]byte, 10), i*20_000+15_000),
			other.ReadAt(bg, make([]byte, 100_000), i), f.FlushRange(i, 10), other.Flush(),
			f.Truncate(bg, size+i), f.CopyTo(bg, f.Core().Name()+"2", 0, 1), f.Remove(bg))
	}
	ctx, cancel := context.WithCancel(bg)
	cancel()
	closing := other.StartClose(bg) // it has accepted work
	wantErr(t, "Close of the pool", p.CloseContext(ctx), context.Canceled)
	for i, w := range all {
		if err := w.Wait(); !errors.Is(err, async.ErrClosed) && !errors.Is(err, async.ErrOverloaded) {
			t.Errorf("operation %d: got %v, want %v or %v", i, err, async.ErrClosed, async.ErrOverloaded)
		}
	}
	check(t, closing.Wait())
	quitStores()
	check(t, f.Core().Truncate(0)) // no pin and no change was left behind
	check(t, f.Close())
	quit()
	check(t, p.Close())
}

// A Close that waits for a flush, for an operation or for a pin holds no
// goroutine.
func TestClosingHoldsNoGoroutine(t *testing.T) {
	for _, c := range []struct {
		name string
		hold func(t *testing.T, p *async.Pool, f *async.File) (free func())
	}{
		{"flush", func(t *testing.T, p *async.Pool, f *async.File) func() {
			arrived, release := watchCalls(t).hold(t, sys.OpMsync, 0)
			_ = f.Flush()
			<-arrived
			return release
		}},
		{"background", func(t *testing.T, p *async.Pool, f *async.File) func() {
			arrived, release := watchCalls(t).hold(t, sys.OpMsync, 0)
			b, err := f.StartBackground(flush.Policy{Interval: time.Hour})
			check(t, err)
			_ = b.Barrier()
			<-arrived
			return release
		}},
		{"operation", func(t *testing.T, p *async.Pool, f *async.File) func() {
			free := occupy(t, p, async.LaneMeta)
			f.Remove(bg)
			return free
		}},
		{"pin", func(t *testing.T, p *async.Pool, f *async.File) func() { return pinned(t, f, 0, 10).Release }},
	} {
		t.Run(c.name, func(t *testing.T) {
			one := async.LaneOptions{Width: 1}
			p := open(t, async.PoolOptions{Executor: async.Goroutines(), Flush: one, Meta: one})
			f := onDisk(t, p, 10_000)
			free := c.hold(t, p, f)
			before := runtime.NumGoroutine()
			closing := f.StartClose(bg)
			if n := runtime.NumGoroutine(); n > before {
				t.Errorf("goroutines while closing waits: got %d, want %d", n, before)
			}
			pending(t, closing)
			free()
			check(t, closing.Wait())
		})
	}
}

// Close has the shape that defer and an errgroup want: it blocks, and returns the
// outcome.
func TestCloseBlocks(t *testing.T) {
	forEach(t, 1000, func(t *testing.T, f *async.File, _ bool) {
		pin := pinned(t, f, 0, 10)
		var released atomic.Bool
		go func() {
			settled(func() bool { return f.PageIn(bg, 0, 1).Err() != nil }) // closing has begun
			released.Store(true)
			pin.Release()
		}()
		var closers errgroup.Group
		closers.Go(f.Close)
		check(t, closers.Wait())
		if !released.Load() {
			t.Error("Close returned before the pin was released")
		}
		ctx, cancel := context.WithCancelCause(bg)
		cancel(errEnough)
		wantErr(t, "CloseContext of a closed file", f.CloseContext(ctx), fs.ErrClosed)
	})
}
