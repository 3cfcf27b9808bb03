package async_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// Close lets everything finish that was accepted before it.
func TestCloseWithOperationsInFlight(t *testing.T) {
	const size = 1 << 20
	p := narrow(t)
	f := cold(t, p, size)
	c := watchCalls(t)
	arrived, releaseFlush := c.hold(t, "msync", 0)
	flushing := f.FlushRange(0, 10)
	<-arrived
	waiting := f.Flush()
	free := occupy(t, p, async.LaneShort, async.LanePage, async.LaneMeta)
	read, write := f.ReadAt(bg, make([]byte, 100_000), 0), f.WriteAt(bg, make([]byte, 10), 200_000)
	in, copied := f.PageIn(bg, 300_000, 10), f.CopyTo(bg, f.Core().Name()+"2", 0, 10)
	removed := f.Remove(bg)
	closing := f.Close(bg)
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

// The same where nothing but a queued operation holds the file open.
func TestCloseWaitsForQueuedOperations(t *testing.T) {
	for _, l := range []async.Lane{async.LaneShort, async.LanePage, async.LaneMeta} {
		t.Run(l.String(), func(t *testing.T) {
			p := narrow(t)
			f := cold(t, p, 1<<20)
			free := occupy(t, p, l)
			read := f.ReadAt(bg, make([]byte, 100_000), 0)
			write := f.WriteAt(bg, make([]byte, 10), 200_000)
			copied := f.CopyTo(bg, f.Core().Name()+"2", 0, 10)
			closing := f.Close(bg)
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
	closing := f.Close(ctx)
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
		if err := f.Close(ctx).Wait(); err != nil && err != cause {
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
	check(t, p.Close(bg))
	for _, o := range operations {
		w := o.call(bg, f)
		if err := w.Wait(); err != nil || o.meta { // the others need no pool for what is resident
			wantErr(t, o.name, err, async.ErrClosed)
		}
		giveBack(w)
	}
	check(t, f.Core().Truncate(50)) // no change was left behind
	check(t, f.Close(bg).Wait())
}

// A pool that drops the last step of a Close does not keep the file open.
func TestCloseDroppedByPool(t *testing.T) {
	p, err := async.NewPool(async.PoolOptions{Meta: async.LaneOptions{Width: 1}})
	check(t, err)
	f := onDisk(t, p, 1000)
	free := occupy(t, p, async.LaneMeta)
	closing := f.Close(bg)
	pending(t, closing)
	ctx, cancel := context.WithCancel(bg)
	cancel()
	wantErr(t, "Close of the pool", p.Close(ctx), context.Canceled)
	check(t, closing.Wait())
	free()
	check(t, p.Close(bg))
}

// A pool that is closed with full queues resolves what is in them, and each file
// is whole.
// Promise 6.
func TestPoolClosedWithFullQueues(t *testing.T) {
	const size = 1 << 20
	few := async.LaneOptions{Width: 1, Queue: 8}
	p, err := async.NewPool(async.PoolOptions{Short: few, Flush: few, Page: few, Meta: few})
	check(t, err)
	f := cold(t, p, size)
	other := onDisk(t, p, size)
	quit := occupy(t, p, async.LaneShort, async.LaneFlush, async.LanePage, async.LaneMeta)
	var all []waiter
	for i := range int64(20) {
		all = append(all, f.PageIn(bg, i*20_000, 10), f.Load(bg, i*20_000+5000, 10),
			f.ReadAt(bg, make([]byte, 10), i*20_000+10_000), f.WriteAt(bg, make([]byte, 10), i*20_000+15_000),
			other.ReadAt(bg, make([]byte, 100_000), i), f.FlushRange(i, 10), other.Flush(),
			f.Truncate(bg, size+i), f.CopyTo(bg, f.Core().Name()+"2", 0, 1), f.Remove(bg))
	}
	ctx, cancel := context.WithCancel(bg)
	cancel()
	closing := other.Close(bg) // it has accepted work
	wantErr(t, "Close of the pool", p.Close(ctx), context.Canceled)
	for i, w := range all {
		if err := w.Wait(); !errors.Is(err, async.ErrClosed) && !errors.Is(err, async.ErrOverloaded) {
			t.Errorf("operation %d: got %v, want %v or %v", i, err, async.ErrClosed, async.ErrOverloaded)
		}
	}
	check(t, closing.Wait())
	check(t, f.Core().Truncate(0)) // no pin and no change was left behind
	check(t, f.Close(bg).Wait())
	quit()
	check(t, p.Close(bg))
}
