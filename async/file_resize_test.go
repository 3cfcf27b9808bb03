package async_test

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// Semantics 16: shrinking and closing wait for pins and page-ins, not on a
// worker, and what comes after waits behind them.
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
			closing := f.Close(bg)
			wantErr(t, "Load after Close", f.Load(bg, 0, 10).Wait(), fs.ErrClosed)
			pending(t, closing)
			check(t, other.Close(bg).Wait())
			pin.Release()
			check(t, closing.Wait())
		})
	}
}

// Semantics 16.
func TestPageInHoldsChanges(t *testing.T) {
	p := narrow(t)
	f := cold(t, p, 100_000)
	free := occupy(t, p, async.LanePage)
	in := f.PageIn(bg, 50_000, 10)
	load := f.Load(bg, 0, 10)
	cut := f.Truncate(bg, 10)
	closing := f.Close(bg)
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
				t.Skip("a file that nobody uses is shortened at once where that takes unmapping it")
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

// Of a context and the last release that come together, one gets the change.
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
				t.Skip("a file that nobody uses is shortened at once where that takes unmapping it")
			}
			free := occupy(t, p, async.LaneMeta)
			queued := async.Open(bg, p, diskFile(t, nil), core.Options{})
			wantErr(t, "Truncate", f.Truncate(bg, 5000).Wait(), async.ErrOverloaded)
			if n := f.Core().Len(); n != 10_000 {
				t.Errorf("Len: got %d, want what it was", n)
			}
			check(t, f.Core().Truncate(100)) // no change was left behind
			check(t, f.Close(bg).Wait())
			free()
			other, err := queued.Await(bg)
			check(t, err)
			check(t, other.Close(bg).Wait())
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
	check(t, other.Close(bg).Wait())
}
