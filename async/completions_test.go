package async_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/fmmap-go/fmmap/async"
)

// Next goes on where the last call ended, whether that returned a future or its
// context was done. After the last future and after Stop there is none.
func TestCompletionsGoOn(t *testing.T) {
	fs, resolve := promises(3)
	c := async.NewCompletions(fs...)
	done, cancel := context.WithCancel(bg)
	cancel()
	next := func(ctx context.Context, want, left int) {
		t.Helper()
		i, f, ok := c.Next(ctx)
		if ok != (want >= 0) || ok && (i != want || f != fs[i]) || c.Len() != left {
			t.Errorf("Next: got %d, %v with %d left, want %d with %d left", i, ok, c.Len(), want, left)
		}
	}
	next(done, -1, 3)
	resolve[2](0, nil)
	next(done, 2, 2)
	next(done, -1, 2)
	resolve[0](0, errBoom)
	next(bg, 0, 1)
	c.Stop()
	next(bg, -1, 0)
	c.Stop()
	c = async.NewCompletions(fs...)
	resolve[1](0, nil)
	for want := range fs { // those that are resolved already in their order
		next(bg, want, len(fs)-1-want)
	}
	next(bg, -1, 0)
	async.NewCompletions(fs...).Stop()
}

// A task that goes on with what others began does not wait for its own lane.
func TestCompletionsInATask(t *testing.T) {
	p := narrow(t)
	quit := make(chan struct{})
	var c *async.Completions[int]
	begun := make(chan struct{})
	task := async.Go(bg, p, func(ctx context.Context) (int, error) {
		<-begun
		i, f, ok := c.Next(ctx)
		if !ok || i != 1 {
			t.Errorf("Next in a task: got %d, %v, want the future of its own lane", i, ok)
			return 0, nil
		}
		_, err := f.Await(ctx)
		wantErr(t, "Await", err, async.ErrSelfWait)
		return 0, nil
	})
	queued := async.Go(bg, p, func(context.Context) (int, error) { <-quit; return 0, nil })
	promise, resolve := async.Promise[int]()
	c = async.NewCompletions(promise, queued)
	done, cancel := context.WithCancel(bg)
	cancel()
	if _, _, ok := c.Next(done); ok {
		t.Error("Next returns a future that is pending")
	}
	close(begun)
	check(t, task.Wait())
	resolve(0, nil)
	if i, _, ok := c.Next(bg); !ok || i != 0 {
		t.Errorf("Next: got %d, %v, want the promise", i, ok)
	}
	close(quit)
	check(t, queued.Wait())
	if _, _, ok := c.Next(bg); ok {
		t.Error("Next returned a future twice")
	}
}

// Taking n futures one by one costs what is linear in n.
func TestCompletionsAreLinear(t *testing.T) {
	cost := func(n int) uint64 {
		fs, resolve := promises(n)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c := async.NewCompletions(fs...)
		for i := range n {
			resolve[n-1-i](0, nil)
			if got, _, ok := c.Next(bg); !ok || got != n-1-i {
				t.Fatalf("Next: got %d, %v, want %d", got, ok, n-1-i)
			}
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	few, many := cost(300), cost(3000)
	if many > 15*few {
		t.Errorf("bytes allocated: %d for 300 futures and %d for 3000, want at most 15 times as many", few, many)
	}
}
