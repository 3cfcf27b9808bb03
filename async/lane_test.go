package async_test

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/async"
)

// TestContextGovernsTheWork: done before the work starts, its context keeps the
// work from running; done later, it is seen by the work, whose result counts.
func TestContextGovernsTheWork(t *testing.T) {
	for _, b := range blockable {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { contextGoverns(t, b.make()) })
		})
	}
}

func contextGoverns(t *testing.T, e async.Executor) {
	p := open(t, short(e, 1, 0))
	ran := 0
	task := func(context.Context) (int, error) { ran++; return 1, nil }
	before, cancelBefore := context.WithCancelCause(t.Context())
	cancelBefore(errBoom)
	f := async.Go(before, p, task)
	if _, err, ok := f.TryResult(); !ok || err != errBoom {
		t.Errorf("submitted with a done context: got (%v, %v), want (boom, true) at once", err, ok)
	}

	quit := make(chan struct{})
	busy := async.Go(t.Context(), p, until(quit))
	queued, cancelQueued := context.WithCancelCause(t.Context())
	f = async.Go(queued, p, task)
	cancelQueued(errBoom)
	synctest.Wait()
	close(quit)
	want(t, busy, 1, nil)
	want(t, f, 0, errBoom)
	if ran != 0 {
		t.Errorf("work of done contexts ran %d times", ran)
	}

	running, cancelRunning := context.WithCancelCause(t.Context())
	f = async.Go(running, p, func(ctx context.Context) (int, error) {
		<-ctx.Done()
		wantErr(t, "cause in the task", context.Cause(ctx), errBoom)
		return 4, nil
	})
	synctest.Wait()
	cancelRunning(errBoom)
	want(t, f, 4, nil)
}

// TestPanicAndGoexitKeepTheLane: both are outcomes, and cost the lane no width.
// Red when a worker that Goexit has ended is not replaced.
func TestPanicAndGoexitKeepTheLane(t *testing.T) {
	for _, b := range blockable {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { panicAndGoexit(t, b.make()) })
		})
	}
}

func panicAndGoexit(t *testing.T, e async.Executor) {
	var order []string
	var f *async.Future[int]
	o := short(e, 2, 0)
	o.Hooks.OnPanic = func(l async.Lane, op string, err *async.PanicError) {
		if l != async.LaneShort || op != "go" || err.Value != "oops" {
			t.Errorf("OnPanic: got (%v, %s, %v)", l, op, err)
		}
		pending(t, f)
		order = append(order, "hook")
	}
	p := open(t, o)
	gate := make(chan struct{})
	f = async.Go(t.Context(), p, func(context.Context) (int, error) { <-gate; panic("oops") })
	close(gate)
	_, err := f.Await(t.Context())
	order = append(order, "resolved")
	var pe *async.PanicError
	if !errors.As(err, &pe) || pe.Value != "oops" || len(pe.Stack) == 0 {
		t.Errorf("panic: got %v, want a *PanicError with a stack", err)
	}
	if !slices.Equal(order, []string{"hook", "resolved"}) {
		t.Errorf("order: got %v, want the hook before the resolution", order)
	}
	f = async.Go(t.Context(), p, func(context.Context) (int, error) { runtime.Goexit(); return 1, nil })
	want(t, f, 0, async.ErrGoexit)

	for range 10 { // many in a row, of both kinds
		f1 := async.Go(t.Context(), p, func(context.Context) (int, error) { runtime.Goexit(); return 0, nil })
		f2 := async.Go(t.Context(), p, func(context.Context) (int, error) { runtime.Goexit(); return 0, nil })
		want(t, f1, 0, async.ErrGoexit)
		want(t, f2, 0, async.ErrGoexit)
	}
	// Two that need each other can only finish if the lane still has both workers.
	a, b := make(chan struct{}), make(chan struct{})
	f1 := async.Go(t.Context(), p, func(context.Context) (int, error) { close(a); <-b; return 1, nil })
	f2 := async.Go(t.Context(), p, func(context.Context) (int, error) { close(b); <-a; return 2, nil })
	want(t, f1, 1, nil)
	want(t, f2, 2, nil)
	if s := p.Stats().Short; s.Panicked != 1 || s.Done != 24 || s.Running != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// TestPanicErrorUnwraps: a panic with an error keeps it.
func TestPanicErrorUnwraps(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			p := open(t, async.PoolOptions{Executor: b.make()})
			f := async.Go(t.Context(), p, func(context.Context) (int, error) { panic(errBoom) })
			want(t, f, 0, errBoom)
			f = async.Go(t.Context(), p, func(context.Context) (int, error) { panic(nil) }) //nolint:govet // on purpose
			var nilErr *runtime.PanicNilError
			if err := f.Wait(); !errors.As(err, &nilErr) {
				t.Errorf("panic(nil): got %v, want a *runtime.PanicNilError inside", err)
			}
		})
	}
}

// TestSubmittingNeverBlocks: a full queue makes a future that has failed. Work
// that ends makes room before its outcome can be seen.
func TestSubmittingNeverBlocks(t *testing.T) {
	for _, b := range blockable {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { overload(t, b.make()) })
		})
	}
}

func overload(t *testing.T, e async.Executor) {
	p := open(t, short(e, 2, 3))
	for round := range 3 {
		quit := make(chan struct{})
		var fs []*async.Future[int]
		for range 5 { // two run and three wait, however long the workers take to come
			fs = append(fs, async.Go(t.Context(), p, until(quit)))
		}
		for _, f := range fs {
			pending(t, f)
		}
		f := async.Go(t.Context(), p, until(quit))
		if _, err, ok := f.TryResult(); !ok || err != async.ErrOverloaded {
			t.Fatalf("round %d: past the limit: got (%v, %v), want (overloaded, true)", round, err, ok)
		}
		close(quit)
		for i, f := range fs {
			want(t, f, 1, nil)
			// i+1 outcomes have been seen, so there is room for at least one.
			if i == 0 {
				want(t, async.Go(t.Context(), p, value(9)), 9, nil)
			}
		}
	}
	if s := p.Stats().Short; s.Overloaded != 3 || s.Done != 18 {
		t.Errorf("overloaded %d and done %d, want 3 and 18", s.Overloaded, s.Done)
	}
}

// TestNoSpuriousOverload: a lane with room for one never refuses the next task
// of a caller that has seen the outcome of the last.
func TestNoSpuriousOverload(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			p := open(t, short(b.make(), 1, 1))
			for i := range 5000 {
				f1, f2 := async.Go(t.Context(), p, value(i)), async.Go(t.Context(), p, value(i))
				if err := errors.Join(f1.Wait(), f2.Wait()); err != nil {
					t.Fatalf("round %d: %v", i, err)
				}
			}
		})
	}
}

// TestWidthAndOrder: never more tasks run than the lane is wide, all of the
// width is used, and they start in the order of submission.
func TestWidthAndOrder(t *testing.T) {
	for _, b := range blockable {
		for _, width := range []int{1, 3} {
			t.Run(b.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { widthAndOrder(t, b.make(), width) })
			})
		}
	}
}

func widthAndOrder(t *testing.T, e async.Executor, width int) {
	p := open(t, short(e, width, 0))
	var mu sync.Mutex
	var order []int
	var running atomic.Int32
	var fs []*async.Future[int]
	for i := range 30 {
		fs = append(fs, async.Go(t.Context(), p, func(context.Context) (int, error) {
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
			if n := running.Add(1); int(n) > width {
				t.Errorf("%d run at once, the width is %d", n, width)
			}
			<-time.After(time.Duration(1+i%4) * time.Second)
			running.Add(-1)
			return i, nil
		}))
	}
	synctest.Wait()
	if s := p.Stats().Short; s.Running != width || s.Queued != 30-width {
		t.Errorf("running %d, queued %d; want %d, %d", s.Running, s.Queued, width, 30-width)
	}
	for _, f := range fs {
		if err := f.Wait(); err != nil {
			t.Error(err)
		}
	}
	if width == 1 && !slices.IsSorted(order) {
		t.Errorf("start order: %v", order)
	}
	for i, v := range order { // workers that start at once may write in any order
		if d := i - v; d >= width || -d >= width {
			t.Errorf("start order: %v", order)
			break
		}
	}
}

// TestIdlePoolOwnsNoGoroutine: without being closed. A bubble whose function
// has returned must have no goroutine left, or it panics.
func TestIdlePoolOwnsNoGoroutine(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, err := async.NewPool(async.PoolOptions{Executor: b.make()})
				if err != nil {
					t.Fatal(err)
				}
				for i := range 50 {
					want(t, async.Go(t.Context(), p, value(i)), i, nil)
					<-time.After(100 * time.Millisecond)
				}
			})
		})
	}
}

// TestRefusingExecutor: what the executor does not run fails with its error,
// if there is no worker that could; nothing hangs.
func TestRefusingExecutor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := false
		p := open(t, short(async.ExecutorFunc(func(f func()) error {
			if refuse {
				return errBoom
			}
			go f()
			return nil
		}), 2, 2))
		quit := make(chan struct{})
		busy := async.Go(t.Context(), p, until(quit))
		synctest.Wait()
		refuse = true
		f := async.Go(t.Context(), p, value(5)) // the second worker is refused: the first does it
		synctest.Wait()
		pending(t, f)
		close(quit)
		want(t, f, 5, nil)
		want(t, busy, 1, nil)
		synctest.Wait()
		want(t, async.Go(t.Context(), p, value(6)), 0, errBoom)
		want(t, async.GoWait(t.Context(), p, value(6)), 0, errBoom)
		refuse = false
		want(t, async.Go(t.Context(), p, value(7)), 7, nil)
		if s := p.Stats().Short; s.Dropped != 2 || s.Running != 0 || s.Queued != 0 {
			t.Errorf("stats: %+v", s)
		}
	})
}

// TestInlineNests: a task may submit to its own lane; depth is bounded by the
// width, and what is beyond that runs when the outer task has returned.
func TestInlineNests(t *testing.T) {
	p := open(t, short(async.Inline(), 2, 0))
	depth, deepest, ran := 0, 0, 0
	var nest func(n int) func(context.Context) (int, error)
	nest = func(n int) func(context.Context) (int, error) {
		return func(ctx context.Context) (int, error) {
			ran++
			depth++
			deepest = max(deepest, depth)
			if n > 0 {
				async.Go(ctx, p, nest(n-1))
				async.Go(context.Background(), p, nest(n-1))
			}
			depth--
			return n, nil
		}
	}
	f := async.Go(t.Context(), p, nest(8))
	if _, _, ok := f.TryResult(); !ok {
		t.Error("Inline: the future is pending after Go")
	}
	if deepest > 2 {
		t.Errorf("nested %d deep, the lane is 2 wide", deepest)
	}
	if s := p.Stats().Short; int(s.Done) != ran || s.Queued != 0 || s.Running != 0 {
		t.Errorf("ran %d, stats %+v", ran, s)
	}
}

// TestOptionsAreChecked: negative figures are errors, zeros are the defaults.
func TestOptionsAreChecked(t *testing.T) {
	for _, x := range []struct {
		o    async.PoolOptions
		want string
	}{
		{async.PoolOptions{Short: async.LaneOptions{Width: -1}}, "lane short: Width -1 is negative"},
		{async.PoolOptions{Meta: async.LaneOptions{Queue: -2}}, "lane meta: Queue -2 is negative"},
	} {
		p, err := async.NewPool(x.o)
		if p != nil || !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), x.want) {
			t.Errorf("NewPool(%+v): got (%v, %v), want %q", x.o, p, err, x.want)
		}
	}
	procs := runtime.GOMAXPROCS(0)
	for _, x := range []struct{ procs, short, flush, page, meta int }{{1, 1, 1, 1, 1}, {2, 2, 2, 1, 1}, {4, 4, 2, 1, 1}, {5, 5, 2, 1, 2}, {64, 64, 2, 1, 2}} {
		if runtime.GOMAXPROCS(x.procs); runtime.GOMAXPROCS(0) != x.procs {
			continue // wasm has one thread, whatever it is told
		}
		s := open(t, async.PoolOptions{}).Stats()
		runtime.GOMAXPROCS(procs)
		if s.Short.Width != x.short || s.Flush.Width != x.flush || s.Page.Width != x.page || s.Meta.Width != x.meta {
			t.Errorf("GOMAXPROCS=%d: %+v", x.procs, s)
		}
		if s.Meta.Queue != 1024 {
			t.Errorf("queue: got %d, want 1024", s.Meta.Queue)
		}
	}
}
