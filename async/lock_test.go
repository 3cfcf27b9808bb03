package async_test

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/lock"
)

// free opens the file a second time, which succeeds only if it is not locked.
func free(t testing.TB, name string) {
	t.Helper()
	c, err := core.OpenFile(name, core.Options{Access: core.ReadWrite})
	if err != nil {
		t.Errorf("the file is still locked: %v", err)
		return
	}
	check(t, c.Close())
}

// Waiters are served in the order of their calls and occupy no worker.
func TestLockIsFIFO(t *testing.T) {
	p := narrow(t)
	occupy(t, p, async.LaneShort, async.LaneFlush, async.LanePage, async.LaneMeta) // it needs none
	f := async.Wrap(p, func() *core.File {
		c, err := core.OpenFile(diskFile(t, pattern(10)), core.Options{Access: core.ReadWrite})
		check(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}())
	first, err := f.Lock(bg, lock.Exclusive).Await(bg)
	check(t, err)
	const n = 100
	waiting := make([]*async.Future[*async.FileLock], n)
	for i := range waiting {
		waiting[i] = f.Lock(bg, lock.Exclusive)
	}
	held := first
	for i := range waiting {
		for _, w := range waiting[i:] {
			pending(t, w)
		}
		check(t, held.Release())
		if held, err = waiting[i].Await(bg); err != nil {
			t.Fatalf("waiter %d: %v", i, err)
		}
	}
	check(t, held.Release())
}

func TestLockShared(t *testing.T) {
	p := open(t, async.PoolOptions{})
	f := onDisk(t, p, 10)
	a, err := f.Lock(bg, lock.Shared).Await(bg)
	check(t, err)
	b, err := f.Lock(bg, lock.Shared).Await(bg)
	check(t, err)
	writer := f.Lock(bg, lock.Exclusive)
	reader := f.Lock(bg, lock.Shared) // came after the writer
	check(t, a.Release())
	pending(t, writer)
	pending(t, reader)
	check(t, b.Release())
	w, err := writer.Await(bg)
	check(t, err)
	pending(t, reader)
	check(t, w.Release())
	r, err := reader.Await(bg)
	check(t, err)
	check(t, r.Release())
}

// A waiter that gives up never ends up with the lock.
func TestLockGivenUp(t *testing.T) {
	p := open(t, async.PoolOptions{})
	t.Run("while waiting", func(t *testing.T) {
		f := onDisk(t, p, 10)
		held, err := f.Lock(bg, lock.Exclusive).Await(bg)
		check(t, err)
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(bg)
		gone, after := f.Lock(ctx, lock.Exclusive), f.Lock(bg, lock.Exclusive)
		cancel(cause)
		if err := gone.Wait(); err != cause {
			t.Errorf("got %v, want the context's cause", err)
		}
		check(t, held.Release())
		held, err = after.Await(bg)
		check(t, err)
		check(t, held.Release())
		if n := async.Locks(f); n != 0 {
			t.Errorf("%d locks are recorded and not held", n)
		}
	})
	t.Run("as it arrives", func(t *testing.T) {
		f := onDisk(t, p, 10)
		for range 500 {
			held, err := f.Lock(bg, lock.Exclusive).Await(bg)
			check(t, err)
			ctx, cancel := context.WithCancel(bg)
			gone := f.Lock(ctx, lock.Exclusive)
			var wg sync.WaitGroup
			wg.Go(cancel)
			wg.Go(func() { check(t, held.Release()) })
			wg.Wait()
			got, err := gone.Await(bg)
			if err == nil {
				check(t, got.Release())
			} else {
				wantErr(t, "given up", err, context.Canceled)
			}
		}
		next := f.Lock(bg, lock.Exclusive) // it is free
		got, err := next.Await(bg)
		check(t, err)
		check(t, got.Release())
	})
}

// Closing ends the waits, and releases the locks that are held.
func TestLockAndClose(t *testing.T) {
	p := open(t, async.PoolOptions{})
	name := diskFile(t, pattern(10))
	f := opened(t, p, name, core.Options{Access: core.ReadWrite})
	held, err := f.Lock(bg, lock.Exclusive).Await(bg)
	check(t, err)
	waiting := f.Lock(bg, lock.Exclusive)
	pin := pinned(t, f, 0, 10)
	closing := f.StartClose(bg)
	wantErr(t, "a waiter", waiting.Wait(), fs.ErrClosed)
	pending(t, closing)
	pin.Release()
	check(t, closing.Wait())
	free(t, name)
	check(t, held.Release())
	free(t, name)
}

// Another descriptor whose lock waits for the file gets it when the file is closed.
func TestLockOfClosedFileIsHandedOn(t *testing.T) {
	p := open(t, async.PoolOptions{})
	name := diskFile(t, pattern(10))
	f := opened(t, p, name, core.Options{NoLock: true})
	_, err := f.Lock(bg, lock.Exclusive).Await(bg)
	check(t, err)
	other := opened(t, p, name, core.Options{NoLock: true})
	waiting := other.Lock(bg, lock.Exclusive)
	pending(t, waiting)
	check(t, f.Close())
	held, err := waiting.Await(bg)
	check(t, err)
	check(t, held.Release())
}
