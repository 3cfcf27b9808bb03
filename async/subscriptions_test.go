package async_test

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/fmmap-go/fmmap/async"
)

// TestNothingIsLeftBehind: a combination that has its outcome, or was broken
// off, leaves nothing in the futures that are still pending: what it refers to
// is collected although they are not. Red when a subscription stays.
func TestNothingIsLeftBehind(t *testing.T) {
	type big [64]int
	var watched, collected atomic.Int32
	watch := func(f *async.Future[*big]) {
		watched.Add(1)
		runtime.SetFinalizer(f, func(*async.Future[*big]) { collected.Add(1) })
	}
	then := func(_ context.Context, v *big) (*big, error) { return v, nil }
	for _, x := range []struct {
		name    string
		combine func(fs []*async.Future[*big])
	}{
		{"failed All", func(fs []*async.Future[*big]) {
			f, resolve := async.Promise[*big]()
			async.All(append(fs, f)...)
			resolve(nil, errBoom)
		}},
		{"successful Any", func(fs []*async.Future[*big]) {
			f, resolve := async.Promise[*big]()
			async.Any(append(fs, f, async.Failed[*big](errBoom))...)
			resolve(nil, nil)
		}},
		{"All of one failed before", func(fs []*async.Future[*big]) {
			async.All(append(fs, async.Failed[*big](errBoom))...)
		}},
		{"All of one failed before, first", func(fs []*async.Future[*big]) {
			async.All(append([]*async.Future[*big]{async.Failed[*big](errBoom)}, fs...)...)
		}},
		{"Any of one that is there", func(fs []*async.Future[*big]) {
			async.Any(append(fs, async.Ready[*big](nil))...)
		}},
		{"Any of one that is there, first", func(fs []*async.Future[*big]) {
			async.Any(append([]*async.Future[*big]{async.Ready[*big](nil)}, fs...)...)
		}},
		{"cancelled Then", func(fs []*async.Future[*big]) {
			for _, f := range fs {
				g := async.Then(bg, nil, f, then)
				if !g.Cancel(nil) {
					t.Error("Cancel: false")
				}
				watch(g)
			}
		}},
		{"Completed, broken out of", func(fs []*async.Future[*big]) {
			for range async.Completed(bg, append(fs, async.Ready[*big](nil))...) {
				break
			}
		}},
		{"Completions, stopped", func(fs []*async.Future[*big]) {
			c := async.NewCompletions(append(fs, async.Ready[*big](nil))...)
			c.Next(bg)
			c.Stop()
		}},
		{"Completed, context done", func(fs []*async.Future[*big]) {
			ctx, cancel := context.WithCancel(bg)
			cancel()
			for range async.Completed(ctx, fs...) {
				t.Error("yielded a pending future")
			}
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			before, resolveBefore := async.Promise[*big]()
			after, resolveAfter := async.Promise[*big]()
			async.Then(bg, nil, before, then) // others that stay
			async.Then(bg, nil, after, then)
			func() {
				between, _ := async.Promise[*big]()
				watch(between)
				x.combine([]*async.Future[*big]{before, between, after})
			}()
			settledGC(func() bool { return collected.Load() == watched.Load() })
			resolveBefore(nil, errBoom)
			resolveAfter(nil, errBoom)
		})
	}
}

// TestSubscriptionsKeepTheirOrder when one of them is taken back, anywhere in
// the list, before the future resolves or after.
func TestSubscriptionsKeepTheirOrder(t *testing.T) {
	const n = 4
	for out := range n {
		p := open(t, async.PoolOptions{Executor: async.Inline()}) // which runs them as they are called
		f, resolve := async.Promise[int]()
		var order []int
		var thens []*async.Future[int]
		for i := range n {
			thens = append(thens, async.Then(t.Context(), p, f, func(context.Context, int) (int, error) {
				order = append(order, i)
				return i, nil
			}))
		}
		if !thens[out].Cancel(nil) || thens[out].Cancel(nil) {
			t.Error("Cancel: want true, and then false")
		}
		resolve(1, nil)
		want := slices.Delete([]int{0, 1, 2, 3}, out, out+1)
		if !slices.Equal(order, want) {
			t.Errorf("called %v, want %v", order, want)
		}
		if thens[(out+1)%n].Cancel(nil) {
			t.Error("Cancel of a resolved future: true")
		}
	}
}
