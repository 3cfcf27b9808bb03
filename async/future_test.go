package async_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/async"
)

var errBoom = errors.New("boom")

// TestResolvesOnceForAll: all waiters, by whatever method and from whatever
// moment on, see the one outcome. Red when a later resolve overwrites it.
func TestResolvesOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, resolve := async.Promise[int]()
		var wg sync.WaitGroup
		check := func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if v, err := f.Await(ctx); v != 7 || err != errBoom {
				t.Errorf("Await: got (%d, %v), want (7, boom)", v, err)
			}
			if v, err := f.Await(context.Background()); v != 7 || err != errBoom {
				t.Errorf("Await without a context to end it: got (%d, %v), want (7, boom)", v, err)
			}
			if err := f.Wait(); err != errBoom {
				t.Errorf("Wait: got %v, want boom", err)
			}
			<-f.Done()
			if err := f.Err(); err != errBoom {
				t.Errorf("Err: got %v, want boom", err)
			}
			if v, err, ok := f.TryResult(); v != 7 || err != errBoom || !ok {
				t.Errorf("TryResult: got (%d, %v, %v), want (7, boom, true)", v, err, ok)
			}
		}
		for range 5 {
			wg.Go(check)
			wg.Go(func() { _ = f.Wait(); check() })
			wg.Go(func() { <-f.Done(); check() })
		}
		synctest.Wait()
		pending(t, f)
		if first, second := f.Done(), f.Done(); first != second {
			t.Error("Done: two channels")
		}
		if !resolve(7, errBoom) {
			t.Error("the first resolve lost")
		}
		if resolve(8, nil) {
			t.Error("the second resolve won")
		}
		wg.Wait()
		check()
	})
}

// TestOneResolverWins when many resolve at once.
func TestOneResolverWins(t *testing.T) {
	for range 200 {
		f, resolve := async.Promise[int]()
		wins := make(chan int, 8)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if resolve(i, nil) {
					wins <- i
				}
			})
		}
		v, err := f.Await(t.Context())
		wg.Wait()
		close(wins)
		if winner, more := <-wins, len(wins); v != winner || err != nil || more != 0 {
			t.Fatalf("outcome (%d, %v), winner %d, %d more winners", v, err, winner, more)
		}
	}
}

// TestResolvingHappensBeforeReturns: what the resolver has written before is
// seen by all waiters. Red under -race if the outcome is published early.
func TestResolvingHappensBeforeReturns(t *testing.T) {
	for name, wait := range map[string]func(*async.Future[*int]){
		"Wait":  func(f *async.Future[*int]) { _ = f.Wait() },
		"Done":  func(f *async.Future[*int]) { <-f.Done() },
		"Await": func(f *async.Future[*int]) { _, _ = f.Await(t.Context()) },
		"TryResult": func(f *async.Future[*int]) {
			for {
				if _, _, ok := f.TryResult(); ok {
					return
				}
				runtime.Gosched() // wasm does not preempt
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 100 {
				f, resolve := async.Promise[*int]()
				n := new(int)
				go func() {
					*n = 42
					resolve(n, nil)
				}()
				wait(f)
				if *n != 42 {
					t.Fatalf("got %d, want 42", *n)
				}
			}
		})
	}
}

// TestResultWinsTie: an outcome beats a context that is done as well, whichever
// was first. Red when Await looks at the context first, or does not look at the
// outcome again after the context.
func TestResultWinsTie(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	want := func(t *testing.T, f *async.Future[int], ctx context.Context) {
		t.Helper()
		if v, err := f.Await(ctx); v != 3 || err != nil {
			t.Fatalf("got (%d, %v), want (3, nil)", v, err)
		}
	}
	t.Run("resolved before", func(t *testing.T) {
		want(t, async.Ready(3), done)
		f, resolve := async.Promise[int]()
		resolve(3, nil)
		want(t, f, done)
	})
	t.Run("resolved by what the context wakes", func(t *testing.T) {
		// Done of this context resolves the future and returns a channel that
		// is closed already: when the select looks, only the context may be ready,
		// or both, and the outcome is there in any case.
		for range 100 {
			f, resolve := async.Promise[int]()
			want(t, f, &tieContext{Context: done, fn: func() { resolve(3, nil) }})
		}
	})
	t.Run("both while waiting", func(t *testing.T) {
		for range 100 {
			synctest.Test(t, func(t *testing.T) {
				f, resolve := async.Promise[int]()
				ctx, cancel := context.WithCancel(t.Context())
				got := make(chan error)
				go func() { _, err := f.Await(ctx); got <- err }()
				synctest.Wait()
				resolve(3, nil)
				cancel()
				if err := <-got; err != nil {
					t.Fatalf("got %v, want nil", err)
				}
			})
		}
	})
}

// A tieContext calls fn when asked for its channel.
type tieContext struct {
	context.Context
	fn func()
}

func (c *tieContext) Done() <-chan struct{} {
	c.fn()
	return c.Context.Done()
}

// TestAwaitEndedByContextLeavesTheWork: the wait fails with the cause, and
// nothing else changes.
func TestAwaitEndedByContextLeavesTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, short(nil, 1, 0))
		quit := make(chan struct{})
		f := async.Go(t.Context(), p, until(quit))
		errWhy := errors.New("why")
		cause, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errWhy) })
		timeout, cancel2 := context.WithTimeout(t.Context(), time.Second)
		defer cancel2()
		for _, x := range []struct {
			name string
			ctx  context.Context
			is   []error
		}{
			{"cause", cause, []error{errWhy, context.Canceled}},
			{"timeout", timeout, []error{context.DeadlineExceeded}},
		} {
			_, err := f.Await(x.ctx)
			var await *async.AwaitError
			if !errors.As(err, &await) {
				t.Errorf("%s: got %v, want an *AwaitError", x.name, err)
			}
			for _, is := range x.is {
				wantErr(t, x.name, err, is)
			}
		}
		pending(t, f)
		close(quit)
		want(t, f, 1, nil)
	})
}

// TestDroppedFuturesLeakNothing: goleak, in TestMain, is the check.
func TestDroppedFuturesLeakNothing(t *testing.T) {
	for range 100 {
		f, _ := async.Promise[int]()
		_ = f.Done()
		async.All(f)
		async.Any(f)
		async.Then(t.Context(), async.Default(), f, func(context.Context, int) (int, error) { return 0, nil })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := f.Await(ctx); err == nil {
			t.Fatal("Await of a pending future with a done context: no error")
		}
	}
}

// TestCancel: queued work can be dropped, once; anything else cannot.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, short(nil, 1, 0))
		quit := make(chan struct{})
		busy := async.Go(t.Context(), p, until(quit))
		synctest.Wait()
		ran := false
		fs := make([]*async.Future[int], 3)
		for i := range fs {
			fs[i] = async.Go(t.Context(), p, func(context.Context) (int, error) { ran = true; return 0, nil })
		}
		if busy.Cancel(errBoom) {
			t.Error("Cancel of running work: true")
		}
		if !fs[1].Cancel(errBoom) || fs[1].Cancel(nil) {
			t.Error("Cancel of queued work: want true, then false")
		}
		wantErr(t, "cancelled in the middle", fs[1].Err(), errBoom)
		if got := p.Stats().Short.Queued; got != 2 {
			t.Errorf("queued after one of three was cancelled: got %d, want 2", got)
		}
		if !fs[2].Cancel(nil) || !fs[0].Cancel(nil) {
			t.Error("Cancel of queued work: false")
		}
		wantErr(t, "cancelled at the tail", fs[2].Err(), context.Canceled)
		wantErr(t, "cancelled at the head", fs[0].Err(), context.Canceled)
		next := async.Go(t.Context(), p, value(2))
		close(quit)
		want(t, busy, 1, nil)
		want(t, next, 2, nil)
		if ran {
			t.Error("cancelled work ran")
		}
		if next.Cancel(nil) {
			t.Error("Cancel of a resolved future: true")
		}
		shared, resolve := async.Promise[int]()
		if shared.Cancel(nil) {
			t.Error("Cancel of a promise: true")
		}
		resolve(5, nil)
		want(t, shared, 5, nil)
		if s := p.Stats().Short; s.Dropped != 3 || s.Done != 2 {
			t.Errorf("dropped %d and done %d, want 3 and 2", s.Dropped, s.Done)
		}
	})
}

// TestOneCancelWins races Cancels against each other and against the worker:
// either the work runs and all return false, or one returns true.
func TestOneCancelWins(t *testing.T) {
	p := open(t, short(nil, 2, 0))
	for range 2000 {
		ran := make(chan struct{}, 1)
		f := async.Go(t.Context(), p, func(context.Context) (int, error) { ran <- struct{}{}; return 1, nil })
		wins := make(chan struct{}, 3)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if f.Cancel(errBoom) {
					wins <- struct{}{}
				}
			})
		}
		err := f.Wait()
		wg.Wait()
		switch {
		case err == nil && len(ran) == 1 && len(wins) == 0:
		case err == errBoom && len(ran) == 0 && len(wins) == 1:
		default:
			t.Fatalf("error %v, ran %d times, %d Cancels won", err, len(ran), len(wins))
		}
	}
}

func TestReadyAndFailed(t *testing.T) {
	want(t, async.Ready("x"), "x", nil)
	want(t, async.Failed[string](errBoom), "", errBoom)
	<-async.Ready(1).Done()
}

// TestBubblesShareNothing: nothing that was made in one bubble of
// testing/synctest is used in the next.
func TestBubblesShareNothing(t *testing.T) {
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			p := open(t, async.PoolOptions{})
			f := async.Go(t.Context(), p, value(1))
			<-f.Done()
			<-async.Ready(1).Done()
			_ = f.Wait()
		})
	}
}

// TestAllocations: a future is one allocation, whether it crosses the pool or is
// resolved at once, and waiting for one that is resolved is none. A wait that
// blocks makes the channel of Done. One for a task that is about to run does
// not: it lets the worker run first. Red when a waiter does not spin, as
// AllocsPerRun leaves one processor, on which the worker has not begun then. A
// slow spin, as on a busy machine, is followed by skips, so it is enough if one
// pool of many has none.
func TestAllocations(t *testing.T) {
	task := value(1)
	ctx := t.Context() // can be cancelled
	ready := async.Ready(1)
	for _, x := range []struct {
		name string
		want float64
		fn   func(p *async.Pool)
	}{
		{"spawn and Wait", 1, func(p *async.Pool) { _ = async.Go(ctx, p, task).Wait() }},
		{"spawn and Await", 1, func(p *async.Pool) { _, _ = async.Go(ctx, p, task).Await(context.Background()) }},
		{"Ready", 1, func(*async.Pool) { _, _ = async.Ready(1).Await(ctx) }},
		{"resolved Await", 0, func(*async.Pool) { _, _ = ready.Await(ctx) }},
	} {
		got := x.want + 1
		for try := 0; try < 50 && got > x.want; try++ {
			p := open(t, async.PoolOptions{})
			got = testing.AllocsPerRun(100, func() { x.fn(p) })
		}
		if got > x.want {
			t.Errorf("%s: %v allocations, want %v", x.name, got, x.want)
		}
	}
	p := open(t, async.PoolOptions{})
	gate := make(chan struct{}, 1)
	blocks := func(context.Context) (int, error) { <-gate; return 1, nil }
	open := func() {
		for range 20 { // until the waiter has spun, and blocks
			runtime.Gosched()
		}
		gate <- struct{}{}
	}
	got := testing.AllocsPerRun(100, func() {
		f := async.Go(ctx, p, blocks)
		go open()
		_ = f.Wait()
	})
	if got != 2 {
		t.Errorf("spawn and a Wait that blocks: %v allocations, want 2", got)
	}
}
