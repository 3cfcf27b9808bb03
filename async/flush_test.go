package async_test

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/medium"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// A flush covers every store made before the call, so a request never joins a batch
// that has begun. All requests that come while one runs cost one more, on one
// worker, and joining allocates nothing.
func TestFlushIsGrouped(t *testing.T) {
	const size = 1 << 20
	p := narrow(t)
	f := onDisk(t, p, size)
	c := watchCalls(t)
	arrived, release := c.hold(t, sys.OpMsync, 0)
	first := f.FlushRange(0, 10)
	<-arrived
	// It began before the stores that follow, and must not cover their requests.
	var next []*async.Future[struct{}]
	for i := range 1000 {
		want(t, f.WriteAt(bg, []byte{1}, int64(i)*1000), 1, nil)
		next = append(next, f.FlushRange(int64(i)*1000, 1))
	}
	all := f.Flush()
	for i, g := range next {
		if g == first {
			t.Fatalf("request %d joined a flush that had begun", i)
		}
		if g != all {
			t.Fatalf("request %d has a future of its own", i)
		}
	}
	if all.Cancel(nil) || first.Cancel(nil) {
		t.Error("one member has cancelled the flush of all")
	}
	pending(t, first)
	if n := testing.AllocsPerRun(100, func() { _ = f.FlushRange(5, 5) }); n != 0 {
		t.Errorf("joining a batch: %v allocations, want 0", n)
	}
	if s := p.Stats().Flush; s.Running != 1 || s.Queued != 0 {
		t.Errorf("a thousand requests: %d workers and %d tasks, want 1 and none", s.Running, s.Queued)
	}
	release()
	check(t, first.Wait())
	check(t, all.Wait())
	if n := c.of(sys.OpMsync); n != 2 {
		t.Errorf("calls of msync: got %d, want 2", n)
	}
	s := f.Stats().Flush
	if s.Batches != 2 || s.Failed != 0 || s.LargestBatch < 1001 {
		t.Errorf("stats: %d batches, %d failed, largest %d, want 2, 0, over 1000", s.Batches, s.Failed, s.LargestBatch)
	}
}

// All members of a batch share its error, and so do all later requests.
func TestFlushFailureIsFinal(t *testing.T) {
	p := open(t, async.PoolOptions{})
	f := onDisk(t, p, 10_000)
	c := watchCalls(t)
	arrived, release := c.hold(t, sys.OpMsync, 0)
	c.failing(sys.OpMsync, syscall.EIO)
	failed := f.Flush()
	<-arrived
	waiting := f.FlushRange(0, 10)
	release()
	for i, flushed := range []*async.Future[struct{}]{failed, waiting, f.Flush(), f.FlushRange(5000, 10)} {
		err := flushed.Wait()
		var pe *fs.PathError
		if !errors.Is(err, core.ErrFlushFailed) || !errors.Is(err, syscall.EIO) || !errors.As(err, &pe) {
			t.Errorf("flush %d: got error %v, want a %v of this file", i, err, core.ErrFlushFailed)
		}
	}
	c.failing(sys.OpMsync, nil)
	wantErr(t, "a later flush", f.Flush().Wait(), core.ErrFlushFailed)
	if n := c.of(sys.OpMsync); n != 1 {
		t.Errorf("calls of msync: got %d, want none after the failure", n)
	}
	want(t, f.ReadAt(bg, make([]byte, 10), 0), 10, nil)
	check(t, f.Close())
}

// What has been cut off before its turn comes needs no flushing.
func TestFlushOfWhatIsCutOff(t *testing.T) {
	const size = 1 << 20
	p := narrow(t)
	f := onDisk(t, p, size)
	c := watchCalls(t)
	arrived, release := c.hold(t, sys.OpMsync, 0)
	first := f.FlushRange(0, 10)
	<-arrived
	hull := f.FlushRange(size-10, 10)
	if f.FlushRange(500, 10) != hull {
		t.Fatal("two batches, want one")
	}
	cut := f.Truncate(bg, 1000)
	wantErr(t, "a flush of what is cut off", f.FlushRange(size-10, 10).Wait(), core.ErrRange)
	release()
	check(t, first.Wait())
	check(t, hull.Wait())
	check(t, cut.Wait())
	if s := f.Stats().Flush; s.Failed != 0 {
		t.Errorf("failed batches: got %d, want none", s.Failed)
	}
}

// The same without a committer that clips first.
func TestFlushTargetClips(t *testing.T) {
	p := open(t, async.PoolOptions{})
	f := onDisk(t, p, 10_000)
	target := async.FlushTarget(f.Core())
	for _, c := range []struct{ off, n int64 }{{0, 10_000}, {0, 20_000}, {9000, 1 << 40}, {10_000, 5}, {1 << 40, 10}} {
		if err := target.FlushRange(c.off, c.n); err != nil {
			t.Errorf("FlushRange(%d, %d) of 10000 bytes: %v", c.off, c.n, err)
		}
		if err := target.StartWriteback(c.off, c.n); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("StartWriteback(%d, %d) of 10000 bytes: %v", c.off, c.n, err)
		}
	}
	t.Run("while it shrinks", func(t *testing.T) {
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range int64(200) {
				check(t, f.Core().Truncate(10_000-i*50))
			}
		})
		for range 200 {
			if err := target.FlushRange(0, 10_000); err != nil {
				t.Errorf("FlushRange: %v", err)
				break
			}
		}
		wg.Wait()
	})
}

// A lane that is full fails a batch, and the file goes on working.
func TestFlushOverloaded(t *testing.T) {
	p := open(t, async.PoolOptions{Flush: async.LaneOptions{Width: 1, Queue: 1}})
	f, other := onDisk(t, p, 10_000), onDisk(t, p, 10_000)
	free := occupy(t, p, async.LaneFlush)
	queued := other.Flush()
	if err := f.Flush().Wait(); err != async.ErrOverloaded {
		t.Errorf("got %v, want %v", err, async.ErrOverloaded)
	}
	free()
	check(t, queued.Wait())
	settled(func() bool { return p.Stats().Flush.Running == 0 })
	check(t, f.Flush().Wait())
}

// A device whose flush does not return holds up the flushes of its own files, and
// those of no other; more devices than there may be lanes share them. One without
// flushes has no lane.
func TestSlowDeviceHoldsUpItsOwnFlushes(t *testing.T) {
	const more = 5
	p := narrow(t)
	quit := make(chan struct{})
	free := sync.OnceFunc(func() { close(quit) })
	t.Cleanup(free)
	file := func(device int) *async.File {
		f := onDisk(t, p, 10_000)
		async.SetMedium(f, medium.Medium{Device: uint64(device)})
		return f
	}
	check(t, async.OccupyFlusher(file(0), quit))
	held := file(0).Flush()
	check(t, file(1).Flush().Wait())
	settled(func() bool { return async.FlushedDevices(p) == 1 })
	for i := range async.MaxDeviceLanes - 1 + more {
		check(t, async.OccupyFlusher(file(1+i), quit))
	}
	settled(func() bool { return p.Stats().Flush.Running == async.MaxDeviceLanes })
	if s := p.Stats().Flush; s.Queued != 1+more || s.Width != 1 {
		t.Errorf("lane: got %d queued and width %d, want %d and 1", s.Queued, s.Width, 1+more)
	}
	if _, _, ok := held.TryResult(); ok {
		t.Error("the flush of the device that is held up has ended")
	}
	free()
	check(t, held.Wait())
	settled(func() bool { return async.FlushedDevices(p) == 0 })
}

// Memory has nothing to flush: its flushes need no worker.
func TestFlushOfMemory(t *testing.T) {
	p := narrow(t)
	occupy(t, p, async.LaneFlush)
	for _, k := range kinds[1:] {
		f := k.open(t, p, 1000)
		for _, flushed := range []*async.Future[struct{}]{f.Flush(), f.FlushRange(5, 5)} {
			if _, err, ok := flushed.TryResult(); !ok || err != nil {
				t.Errorf("%s: resolved %v, error %v, want at once", k.name, ok, err)
			}
		}
		wantErr(t, "FlushRange", f.FlushRange(995, 10).Wait(), core.ErrRange)
	}
}

func TestBackgroundFlushes(t *testing.T) {
	// The pool is its own, as that of a bubble must be.
	synctest.Test(t, func(t *testing.T) {
		p, err := async.NewPool(async.PoolOptions{Executor: async.Goroutines()})
		check(t, err)
		c, err := core.OpenFile(diskFile(t, pattern(10_000)), core.Options{Access: core.ReadWrite})
		check(t, err)
		f := async.Wrap(p, c)
		b, err := f.StartBackground(flush.Policy{Interval: time.Minute, NoEarlyWriteback: true})
		check(t, err)
		_, err = f.StartBackground(flush.Policy{})
		if err == nil {
			t.Error("a second background: got no error")
		}
		flushes := func() int64 { synctest.Wait(); return f.Stats().Flush.Batches }
		if n := flushes(); n != 0 {
			t.Errorf("flushes of a clean file: got %d", n)
		}
		want(t, f.WriteAt(bg, []byte{1}, 0), 1, nil) // marks
		<-time.After(59 * time.Second)
		if n := flushes(); n != 0 {
			t.Errorf("flushes before the interval: got %d", n)
		}
		<-time.After(2 * time.Second)
		if n := flushes(); n != 1 {
			t.Errorf("flushes after the interval: got %d, want 1", n)
		}
		check(t, b.Barrier().Wait())
		b.Pause()
		b.MarkDirty(1)
		<-time.After(time.Hour)
		if n := flushes(); n != 2 {
			t.Errorf("flushes with a barrier and a pause: got %d, want 2", n)
		}
		b.Resume()
		check(t, b.Close())
		if n := flushes(); n != 3 {
			t.Errorf("flushes after Close of the background: got %d, want 3", n)
		}
		wantErr(t, "Barrier after Close of the background", b.Barrier().Wait(), fs.ErrClosed)
		b, err = f.StartBackground(flush.Policy{Interval: time.Minute})
		check(t, err)
		b.MarkDirty(1)
		check(t, f.Close()) // flushes once more
		if n := flushes(); n != 4 {
			t.Errorf("flushes after Close: got %d, want 4", n)
		}
		wantErr(t, "Barrier after Close", b.Barrier().Wait(), fs.ErrClosed)
		check(t, b.Close())
		check(t, p.Close())
	})
}

func TestBackgroundFailure(t *testing.T) {
	p := open(t, async.PoolOptions{})
	f := onDisk(t, p, 10_000)
	reported := make(chan error, 1)
	b, err := f.StartBackground(flush.Policy{DirtyBytes: 10, NoEarlyWriteback: true, OnError: func(err error) { reported <- err }})
	check(t, err)
	watchCalls(t).failing(sys.OpMsync, syscall.EIO)
	want(t, f.WriteAt(bg, pattern(20), 0), 20, nil)
	wantErr(t, "OnError", <-reported, core.ErrFlushFailed)
	wantErr(t, "Barrier", b.Barrier().Wait(), core.ErrFlushFailed)
	wantErr(t, "Flush", f.Flush().Wait(), core.ErrFlushFailed)
	err = f.Close()
	wantErr(t, "Close", err, core.ErrFlushFailed)
	var pe *fs.PathError
	if !errors.As(err, &pe) {
		t.Errorf("error %v does not name the file", err)
	}
	wantErr(t, "Close again", f.Close(), fs.ErrClosed)
}

// A background begins to write early what is flushed later.
func TestBackgroundWritesEarly(t *testing.T) {
	p := open(t, async.PoolOptions{})
	f := onDisk(t, p, 10_000)
	c := watchCalls(t)
	_, err := f.StartBackground(flush.Policy{DirtyBytes: 100})
	check(t, err)
	want(t, f.WriteAt(bg, pattern(60), 0), 60, nil)
	settled(func() bool { return c.of(sys.OpSyncFileRange) > 0 })
	if n := c.of(sys.OpMsync); n != 0 {
		t.Errorf("flushes with little dirty: got %d", n)
	}
	want(t, f.WriteAt(bg, pattern(60), 0), 60, nil)
	settled(func() bool { return c.of(sys.OpMsync) > 0 })
}

// A write during a flush of the background causes another flush.
func TestWriteDuringBackgroundFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, async.PoolOptions{Executor: async.Goroutines()})
		f := onDisk(t, p, 10_000)
		_, err := f.StartBackground(flush.Policy{DirtyBytes: 4, NoEarlyWriteback: true})
		check(t, err)
		c := watchCalls(t)
		arrived, release := c.hold(t, sys.OpMsync, 0)
		want(t, f.WriteAt(bg, []byte("first"), 0), 5, nil)
		<-arrived
		want(t, f.WriteAt(bg, []byte("second"), 0), 6, nil)
		release()
		synctest.Wait()
		if n := c.of(sys.OpMsync); n != 2 {
			t.Errorf("flushes of a file written to during the first: got %d, want 2", n)
		}
	})
}

// A context ends the wait for the last flush of a background, and not that
// flush.
func TestBackgroundCloseContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, async.PoolOptions{Executor: async.Goroutines()})
		f := onDisk(t, p, 10_000)
		b, err := f.StartBackground(flush.Policy{Interval: time.Minute, NoEarlyWriteback: true})
		check(t, err)
		c := watchCalls(t)
		arrived, release := c.hold(t, sys.OpMsync, 0)
		want(t, f.WriteAt(bg, []byte("last"), 0), 4, nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		closing, again := b.StartClose(ctx), b.StartClose(bg)
		<-arrived
		pending(t, closing)
		cause := errors.New("enough")
		cancel(cause)
		wantErr(t, "StartClose", closing.Wait(), cause)
		wantErr(t, "CloseContext", b.CloseContext(ctx), cause)
		pending(t, again)
		release()
		check(t, again.Wait())
		check(t, b.CloseContext(ctx)) // what has ended wins
	})
}
