package async

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A resource counts how often it is given back.
type resource struct{ returned atomic.Int32 }

func giveBack(r *resource) { r.returned.Add(1) }

// collected waits until r has been given back, and checks that once.
func collected(t *testing.T, r *resource) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		runtime.GC()
		if n := r.returned.Load(); n == 1 {
			return
		} else if n > 1 {
			t.Fatalf("given back %d times", n)
		}
		runtime.Gosched()
	}
	t.Fatal("never given back")
}

// kept checks that r is not given back by collections.
func kept(t *testing.T, r *resource) {
	t.Helper()
	for range 3 {
		c := new([4]int64) // not so small that it shares its block with something that lives
		done := make(chan struct{})
		runtime.SetFinalizer(c, func(*[4]int64) { close(done) })
		c = nil
		for open := true; open; {
			runtime.GC()
			select {
			case <-done:
				open = false
			default:
				runtime.Gosched()
			}
		}
	}
	if n := r.returned.Load(); n != 0 {
		t.Fatalf("given back %d times, but it is somebody's", n)
	}
}

// ways to make a future of a resource.
var ways = []struct {
	name string
	make func(p *Pool, r *resource) *Future[*resource]
}{
	{"ready", func(_ *Pool, r *resource) *Future[*resource] { return readyOwned(r, giveBack) }},
	{"promise", func(_ *Pool, r *resource) *Future[*resource] {
		f := newOwned(giveBack)
		f.resolve(r, nil)
		return f
	}},
	{"submitted", func(p *Pool, r *resource) *Future[*resource] {
		return submitOwned(context.Background(), p.lane(LanePage), opLoad, func(context.Context) (*resource, error) { return r, nil }, giveBack)
	}},
	{"submitted, looking at its context", func(p *Pool, r *resource) *Future[*resource] {
		return submitOwned(context.Background(), p.lane(LanePage), opLoad, func(ctx context.Context) (*resource, error) { _ = ctx.Done(); return r, nil }, giveBack)
	}},
	{"Any", func(_ *Pool, r *resource) *Future[*resource] {
		return Any(Failed[*resource](errTest), readyOwned(r, giveBack))
	}},
}

// TestDroppedFutureGivesBack: a resource whose future is collected before
// anybody took it is given back, once. Red when the future points to itself.
// Promise 5.
func TestDroppedFutureGivesBack(t *testing.T) {
	p := newTestPool(t)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			r := new(resource)
			f := w.make(p, r)
			if err := f.Wait(); err != nil { // Wait and Err do not take
				t.Fatal(err)
			}
			<-f.Done()
			_ = f.Err()
			runtime.KeepAlive(f)
			collected(t, r)
		})
	}
}

// TestTakenResourceIsNotGivenBack: it belongs to who took it.
func TestTakenResourceIsNotGivenBack(t *testing.T) {
	p := newTestPool(t)
	takes := map[string]func(f *Future[*resource]) *resource{
		"Await":     func(f *Future[*resource]) *resource { v, _ := f.Await(t.Context()); return v },
		"TryResult": func(f *Future[*resource]) *resource { _ = f.Wait(); v, _, _ := f.TryResult(); return v },
		"Then": func(f *Future[*resource]) *resource {
			v, _ := Then(t.Context(), p, f, func(_ context.Context, r *resource) (*resource, error) { return r, nil }).Await(t.Context())
			return v
		},
		"All": func(f *Future[*resource]) *resource { v, _ := All(f).Await(t.Context()); return v[0] },
		"Any": func(f *Future[*resource]) *resource { v, _ := Any(f).Await(t.Context()); return v },
	}
	for _, w := range ways {
		for name, take := range takes {
			t.Run(w.name+", "+name, func(t *testing.T) {
				r := new(resource)
				if got := take(w.make(p, r)); got != r {
					t.Fatalf("got %p, want %p", got, r)
				}
				kept(t, r)
			})
		}
	}
}

// TestDroppedAllGivesAllBack.
func TestDroppedAllGivesAllBack(t *testing.T) {
	rs := []*resource{new(resource), new(resource)}
	promise := newOwned(giveBack)
	all := All(readyOwned(rs[0], giveBack), promise)
	promise.resolve(rs[1], nil)
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	all, promise = nil, nil
	for _, r := range rs {
		collected(t, r)
	}
	// One that fails has taken nothing: what succeeded is the futures'.
	r := new(resource)
	if err := All(readyOwned(r, giveBack), Failed[*resource](errTest)).Wait(); err != errTest {
		t.Fatal(err)
	}
	collected(t, r)
}

// TestDroppedAllOfPendingGivesBack: whether an Any will have a resource is known
// when it resolves, and so is what an All of it has to give back. Red when All
// asks at once.
func TestDroppedAllOfPendingGivesBack(t *testing.T) {
	r := new(resource)
	promise := newOwned(giveBack)
	all := All(All(Any(promise, newPromise[*resource]())))
	go promise.resolve(r, nil)
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	all, promise = nil, nil
	collected(t, r)
}

// TestAnyOfOtherwiseOwned: what was no future's to give back is not given back
// by an Any that it came through.
func TestAnyOfOtherwiseOwned(t *testing.T) {
	r := new(resource)
	if err := Any(newOwned(giveBack), Ready(r)).Wait(); err != nil {
		t.Fatal(err)
	}
	kept(t, r)
}

// TestLateResourceIsGivenBack: at once, when it arrives for a context that is
// done, or for a future that has been resolved otherwise.
// Promise 5.
func TestLateResourceIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestPool(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		r := new(resource)
		f := submitOwned(ctx, p.lane(LanePage), opLoad, func(context.Context) (*resource, error) {
			cancel(errTest)
			return r, nil
		}, giveBack)
		if v, err := f.Await(t.Context()); v != nil || err != errTest {
			t.Errorf("got (%v, %v), want (nil, test)", v, err)
		}
		if n := r.returned.Load(); n != 1 {
			t.Errorf("task: given back %d times, want 1", n)
		}

		f = newOwned(giveBack)
		f.resolveFor(ctx, r, nil)
		if v, err, ok := f.TryResult(); v != nil || err != errTest || !ok {
			t.Errorf("got (%v, %v, %v), want (nil, test, true)", v, err, ok)
		}
		f.resolve(r, nil)
		if n := r.returned.Load(); n != 3 {
			t.Errorf("promise: given back %d times, want 3", n)
		}
		f = newOwned(giveBack)
		f.resolve(nil, errTest) // there is nothing to give back
		f.resolve(nil, errTest)
		if n := r.returned.Load(); n != 3 {
			t.Errorf("failure: given back %d times, want 3", n)
		}
	})
}

// newTestPool returns a pool that is closed at the end.
func newTestPool(t testing.TB) *Pool {
	t.Helper()
	p, err := NewPool(PoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}
