package async_test

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/async"
)

// promises makes n promises.
func promises(n int) (fs []*async.Future[int], resolve []func(int, error) bool) {
	for range n {
		f, r := async.Promise[int]()
		fs, resolve = append(fs, f), append(resolve, r)
	}
	return fs, resolve
}

// TestAll: all values in order, or the first error at once while the others go
// on.
func TestAll(t *testing.T) {
	if v, err, ok := async.All[int]().TryResult(); v != nil || err != nil || !ok {
		t.Errorf("All of none: got (%v, %v, %v), want (nil, nil, true)", v, err, ok)
	}
	for name, order := range map[string][]int{"forwards": {0, 1, 2}, "backwards": {2, 1, 0}} {
		t.Run(name, func(t *testing.T) {
			fs, resolve := promises(3)
			resolve[1](11, nil) // before
			all := async.All(fs...)
			for _, i := range order {
				if i != 1 {
					pending(t, all)
					resolve[i](10+i, nil)
				}
			}
			v, err := all.Await(t.Context())
			if err != nil || !slices.Equal(v, []int{10, 11, 12}) {
				t.Errorf("got (%v, %v)", v, err)
			}
		})
	}
	for _, already := range []bool{false, true} {
		fs, resolve := promises(3)
		if already {
			resolve[1](0, errBoom)
		}
		all := async.All(fs...)
		resolve[0](0, nil)
		if !already {
			resolve[1](0, errBoom)
		}
		if _, err, ok := all.TryResult(); err != errBoom || !ok {
			t.Errorf("one failed: got (%v, %v), want (boom, true) at once", err, ok)
		}
		pending(t, fs[2])
		resolve[2](7, errors.New("later"))
		want(t, fs[0], 0, nil)
		if err := all.Err(); err != errBoom {
			t.Errorf("after another failure: got %v, want boom", err)
		}
	}
	f, resolve1 := async.Promise[int]()
	twice := async.All(f, f)
	resolve1(4, nil)
	if v, err := twice.Await(t.Context()); err != nil || !slices.Equal(v, []int{4, 4}) {
		t.Errorf("one future twice: got (%v, %v)", v, err)
	}
}

// TestAny: the first success, or all errors.
func TestAny(t *testing.T) {
	if _, err, ok := async.Any[int]().TryResult(); err == nil || !ok {
		t.Errorf("Any of none: got (%v, %v), want an error at once", err, ok)
	}
	fs, resolve := promises(3)
	first := async.Any(fs...)
	resolve[2](0, errBoom)
	pending(t, first)
	resolve[1](5, nil)
	want(t, first, 5, nil)
	pending(t, fs[0])
	resolve[0](6, nil)
	want(t, first, 5, nil)
	want(t, async.Any(fs...), 6, nil)

	fs, resolve = promises(2)
	none := async.Any(fs...)
	errOther := errors.New("other")
	resolve[1](0, errOther)
	pending(t, none)
	resolve[0](0, errBoom)
	want(t, none, 0, errBoom)
	want(t, none, 0, errOther)
	if got, want := none.Err().Error(), "boom\nother"; got != want {
		t.Errorf("joined: got %q, want %q", got, want)
	}
}

// TestThen: on a worker, with the value; not at all after an error.
func TestThen(t *testing.T) {
	for _, b := range blockable {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { then(t, b.make()) })
		})
	}
}

func then(t *testing.T, e async.Executor) {
	p := open(t, short(e, 1, 2))
	ran := 0
	double := func(_ context.Context, v int) (string, error) { ran++; return fmt.Sprint(2 * v), nil }

	want(t, async.Then(t.Context(), p, async.Ready(4), double), "8", nil)
	f, resolve := async.Promise[int]()
	g := async.Then(t.Context(), p, f, double)
	pending(t, g)
	quit := make(chan struct{})
	busy := async.Go(t.Context(), p, until(quit))
	synctest.Wait()
	resolve(5, nil)
	synctest.Wait()
	pending(t, g) // the lane is busy, and the resolver does not run it
	close(quit)
	want(t, g, "10", nil)
	want(t, busy, 1, nil)

	ran = 0
	want(t, async.Then(t.Context(), p, async.Failed[int](errBoom), double), "", errBoom)
	f, resolve = async.Promise[int]()
	g = async.Then(t.Context(), p, f, double)
	cancelled := async.Then(t.Context(), p, f, double)
	if !cancelled.Cancel(context.DeadlineExceeded) {
		t.Error("Cancel of a Then that waits: false")
	}
	want(t, cancelled, "", context.DeadlineExceeded)
	resolve(0, errBoom)
	want(t, g, "", errBoom)

	f, resolve = async.Promise[int]()
	done, cancel := context.WithCancelCause(t.Context())
	g = async.Then(done, p, f, double)
	cancelled = async.Then(t.Context(), p, f, double)
	cancelled.Cancel(nil)
	cancel(errBoom)
	quit = make(chan struct{})
	busy = async.Go(t.Context(), p, until(quit))
	synctest.Wait()
	resolve(1, nil)
	if got := p.Stats().Short.Queued; got != 0 {
		t.Errorf("%d queued that will not run", got)
	}
	close(quit)
	want(t, busy, 1, nil)
	want(t, g, "", errBoom)
	want(t, cancelled, "", context.Canceled)
	if ran != 0 {
		t.Errorf("fn ran %d times", ran)
	}

	f, resolve = async.Promise[int]()
	quit = make(chan struct{})
	defer close(quit)
	for range 3 {
		async.Go(t.Context(), p, until(quit))
	}
	g = async.Then(t.Context(), p, f, double)
	resolve(1, nil)
	want(t, g, "", async.ErrOverloaded)
}

// TestLongChain: resolving a chain takes no stack, failing neither. Without the
// list of callbacks the process ends with a stack overflow.
func TestLongChain(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(1 << 20))
	p := open(t, async.PoolOptions{})
	for _, fail := range []error{nil, errBoom} {
		first, resolve := async.Promise[int]()
		f := first
		const n = 100_000
		for range n {
			f = async.Then(t.Context(), p, f, func(_ context.Context, v int) (int, error) { return v + 1, nil })
		}
		resolve(0, fail)
		if fail == nil {
			want(t, f, n, nil)
		} else {
			want(t, f, 0, errBoom)
		}
	}
}

// TestCompleted: each index once, in the order they finish.
func TestCompleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, short(nil, 5, 0))
		delays := []time.Duration{3, 1, 4, 0, 2}
		var fs []*async.Future[int]
		for _, d := range delays {
			fs = append(fs, async.Go(t.Context(), p, func(context.Context) (int, error) {
				<-time.After(d * time.Second)
				return int(d), nil
			}))
		}
		synctest.Wait() // one is there already
		seq := async.Completed(t.Context(), fs...)
		for round := range 2 {
			var order []int
			for i, f := range seq {
				if v, err, ok := f.TryResult(); !ok || err != nil || v != int(delays[i]) {
					t.Errorf("index %d: (%v, %v, %v)", i, v, err, ok)
				}
				order = append(order, i)
			}
			if want := [][]int{{3, 1, 4, 0, 2}, {0, 1, 2, 3, 4}}[round]; !slices.Equal(order, want) {
				t.Errorf("round %d: got %v, want %v", round, order, want)
			}
		}
		for range async.Completed[int](t.Context()) {
			t.Error("yielded one of none")
		}
	})
}

// TestCompletedEnds: by break, or by its context, after all that has resolved.
func TestCompletedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, resolve := promises(3)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		time.AfterFunc(500*time.Millisecond, func() { resolve[1](1, nil) })
		var order []int
		for i := range async.Completed(ctx, fs...) {
			order = append(order, i)
		}
		if !slices.Equal(order, []int{1}) || ctx.Err() == nil {
			t.Errorf("got %v, context %v", order, ctx.Err())
		}
		resolve[0](0, nil)
		for range 50 { // a done context, and outcomes: those win
			order = nil
			for i := range async.Completed(ctx, fs...) {
				order = append(order, i)
			}
			if !slices.Equal(order, []int{0, 1}) {
				t.Errorf("got %v, want [0 1]", order)
			}
		}
		for range async.Completed(t.Context(), fs...) {
			break
		}
		resolve[2](2, nil)
	})
}
