package async_test

import (
	"context"
	"errors"
	"testing"

	"github.com/fmmap-go/fmmap/async"
)

// backends are the executors that behaviour must not depend on.
var backends = []struct {
	name string
	make func() async.Executor
}{
	{"goroutines", async.Goroutines},
	{"function", function},
	{"inline", async.Inline},
}

// function is an executor of which the pool knows nothing but the interface.
func function() async.Executor {
	return async.ExecutorFunc(func(f func()) error { go f(); return nil })
}

// blockable are those under which a task may block while its submitter goes on.
var blockable = backends[:2]

// open returns a pool that is closed when the test ends, and must close then.
func open(t testing.TB, o async.PoolOptions) *async.Pool {
	t.Helper()
	p, err := async.NewPool(o)
	if err != nil {
		t.Fatalf("NewPool: %v", err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return p
}

// short makes pool options with the given Short lane.
func short(e async.Executor, width, queue int) async.PoolOptions {
	return async.PoolOptions{Executor: e, Short: async.LaneOptions{Width: width, Queue: queue}}
}

// value is a task that returns v.
func value[T any](v T) func(context.Context) (T, error) {
	return func(context.Context) (T, error) { return v, nil }
}

// until is a task that runs until the channel is closed, whatever its context.
func until(quit <-chan struct{}) func(context.Context) (int, error) {
	return func(context.Context) (int, error) {
		<-quit
		return 1, nil
	}
}

// wantErr checks an error by errors.Is.
func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

// want checks an outcome.
func want[T comparable](t testing.TB, f *async.Future[T], v T, err error) {
	t.Helper()
	got, gotErr := f.Await(context.Background())
	if got != v || !errors.Is(gotErr, err) {
		t.Errorf("outcome: got (%v, %v), want (%v, %v)", got, gotErr, v, err)
	}
}

// pending checks that f is.
func pending[T any](t testing.TB, f *async.Future[T]) {
	t.Helper()
	if v, err, ok := f.TryResult(); ok {
		t.Errorf("resolved with (%v, %v), want pending", v, err)
	}
	if err := f.Err(); err != nil {
		t.Errorf("Err of a pending future: got %v, want nil", err)
	}
}
