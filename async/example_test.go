package async_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fmmap-go/fmmap/async"
)

// length is the work of the examples.
func length(s string) func(context.Context) (int, error) {
	return func(context.Context) (int, error) { return len(s), nil }
}

func ExampleGo() {
	ctx := context.Background()
	f := async.Go(ctx, async.Default(), length("some work"))
	n, err := f.Await(ctx)
	fmt.Println(n, err)
	// Output: 9 <nil>
}

// A future is one more thing to select on.
func ExampleFuture_Done() {
	f := async.Go(context.Background(), async.Default(), length("selected"))
	select {
	case <-f.Done():
		n, err, _ := f.TryResult()
		fmt.Println(n, err)
	case <-time.After(time.Minute):
		fmt.Println("late")
	}
	// Output: 8 <nil>
}

// Wait has the shape of a function for an errgroup.
func ExampleFuture_Wait() {
	ctx := context.Background()
	var g errgroup.Group
	for _, s := range []string{"one", "two", "three"} {
		f := async.Go(ctx, async.Default(), func(context.Context) (int, error) {
			if s == "two" {
				return 0, errors.New("two is wrong")
			}
			return len(s), nil
		})
		g.Go(f.Wait)
	}
	fmt.Println(g.Wait())
	// Output: two is wrong
}

// Cancel drops work that has not started.
func ExampleFuture_Cancel() {
	p, err := async.NewPool(async.PoolOptions{Short: async.LaneOptions{Width: 1}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	quit := make(chan struct{})
	busy := async.Go(ctx, p, func(context.Context) (int, error) { <-quit; return 0, nil })
	queued := async.Go(ctx, p, length("never"))
	fmt.Println(queued.Cancel(nil), queued.Err())
	close(quit)
	fmt.Println(busy.Wait(), p.Close())
	// Output:
	// true context canceled
	// <nil> <nil>
}

// A promise is resolved by the code that knows the outcome.
func ExamplePromise() {
	f, resolve := async.Promise[string]()
	time.AfterFunc(time.Millisecond, func() { resolve("from a callback", nil) })
	v, err := f.Await(context.Background())
	fmt.Println(v, err)
	// Output: from a callback <nil>
}

func ExampleThen() {
	ctx, p := context.Background(), async.Default()
	words := async.Go(ctx, p, func(context.Context) ([]string, error) { return strings.Fields("a few words"), nil })
	count := async.Then(ctx, p, words, func(_ context.Context, w []string) (int, error) { return len(w), nil })
	fmt.Println(count.Await(ctx))
	// Output: 3 <nil>
}

func ExampleAll() {
	ctx, p := context.Background(), async.Default()
	all := async.All(async.Go(ctx, p, length("a")), async.Go(ctx, p, length("bb")), async.Ready(3))
	fmt.Println(all.Await(ctx))
	// Output: [1 2 3] <nil>
}

func ExampleAny() {
	ctx := context.Background()
	f := async.Any(async.Failed[int](errors.New("no replica")), async.Go(ctx, async.Default(), length("replica")))
	fmt.Println(f.Await(ctx))
	// Output: 7 <nil>
}

// A pipeline works on what is there first.
func ExampleCompleted() {
	ctx := context.Background()
	slow, resolve := async.Promise[string]()
	fast := async.Ready("fast")
	for i, f := range async.Completed(ctx, slow, fast) {
		v, err := f.Await(ctx)
		fmt.Println(i, v, err)
		resolve("slow", nil)
	}
	// Output:
	// 1 fast <nil>
	// 0 slow <nil>
}

// Completions can be gone on with, here after one result was enough for a while.
func ExampleCompletions() {
	ctx := context.Background()
	slow, resolve := async.Promise[string]()
	c := async.NewCompletions(slow, async.Ready("fast"))
	defer c.Stop()
	i, f, ok := c.Next(ctx)
	v, err := f.Await(ctx)
	fmt.Println(i, v, err, ok, c.Len())
	resolve("slow", nil)
	i, f, ok = c.Next(ctx)
	v, err = f.Await(ctx)
	fmt.Println(i, v, err, ok, c.Len())
	// Output:
	// 1 fast <nil> true 1
	// 0 slow <nil> true 0
}

// GoWait holds a producer back to the speed of the pool.
func ExampleGoWait() {
	ctx := context.Background()
	p, err := async.NewPool(async.PoolOptions{Short: async.LaneOptions{Width: 1, Queue: 1}})
	if err != nil {
		fmt.Println(err)
		return
	}
	var last *async.Future[int]
	for range 1000 {
		last = async.GoWait(ctx, p, length("one of many"))
	}
	fmt.Println(last.Await(ctx))
	fmt.Println(p.Stats().Short.Overloaded, p.Close())
	// Output:
	// 11 <nil>
	// 0 <nil>
}

// Statistics are plain data, as in a server's /debug/vars:
// expvar.Func(func() any { return p.Stats() }).
func ExamplePool_Stats() {
	p, err := async.NewPool(async.PoolOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	_ = async.Go(ctx, p, length("task")).Wait()
	text, _ := json.Marshal(p.Stats())
	var s async.Stats
	err = json.Unmarshal(text, &s)
	fmt.Println(s.Short.Done, s.Short.Queued, err)
	_ = p.Close()
	// Output: 1 0 <nil>
}

// A pool is closed while its owner goes on, and awaited at the end.
func ExamplePool_StartClose() {
	p, err := async.NewPool(async.PoolOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	work := async.Go(ctx, p, length("accepted"))
	closing := p.StartClose(ctx)
	fmt.Println(errors.Is(async.Go(ctx, p, length("late")).Err(), async.ErrClosed))
	fmt.Println(closing.Wait())
	fmt.Println(work.Await(ctx))
	// Output:
	// true
	// <nil>
	// 8 <nil>
}

// Closing gives work some time, and tells the rest why it will not be done.
func ExamplePool_Close() {
	p, err := async.NewPool(async.PoolOptions{Short: async.LaneOptions{Width: 1}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	running := async.Go(ctx, p, func(ctx context.Context) (int, error) {
		<-ctx.Done()
		return 0, context.Cause(ctx)
	})
	queued := async.Go(ctx, p, length("never"))

	deadline, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	fmt.Println(p.CloseContext(deadline))
	<-p.Done()
	fmt.Println(running.Err())
	fmt.Println(queued.Err())
	// Output:
	// context deadline exceeded
	// async: pool closed
	// async: pool closed
}

// Any supplier of goroutines will do.
func ExampleExecutorFunc() {
	started := 0
	p, err := async.NewPool(async.PoolOptions{Executor: async.ExecutorFunc(func(f func()) error {
		started++
		go f()
		return nil
	})})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	fmt.Println(async.Go(ctx, p, length("elsewhere")).Await(ctx))
	fmt.Println(started, p.Close())
	// Output:
	// 9 <nil>
	// 1 <nil>
}

// Inline executes in the caller: the future is resolved when Go returns.
func ExampleInline() {
	p, err := async.NewPool(async.PoolOptions{Executor: async.Inline()})
	if err != nil {
		fmt.Println(err)
		return
	}
	f := async.Go(context.Background(), p, length("at once"))
	fmt.Println(f.TryResult())
	// Output: 7 <nil> true
}

// Hooks see every task.
func ExampleHooks() {
	p, err := async.NewPool(async.PoolOptions{Hooks: async.Hooks{
		OnDone:  func(l async.Lane, op string, _ time.Duration, err error) { fmt.Println(l, op, err) },
		OnPanic: func(_ async.Lane, op string, err *async.PanicError) { fmt.Println(op, "panicked:", err.Value) },
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	err = async.Go(ctx, p, func(context.Context) (int, error) { panic("a mistake") }).Wait()
	var pe *async.PanicError
	fmt.Println(errors.As(err, &pe), p.Close())
	// Output:
	// go panicked: a mistake
	// short go panic: a mistake
	// true <nil>
}

// A wait that was given up is not the end of the work.
func ExampleAwaitError() {
	f, resolve := async.Promise[int]()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err := f.Await(ctx)
	var await *async.AwaitError
	fmt.Println(errors.As(err, &await), errors.Is(err, context.DeadlineExceeded))
	resolve(5, nil)
	fmt.Println(f.Await(ctx))
	// Output:
	// true true
	// 5 <nil>
}

func ExampleLane() {
	fmt.Println(async.LaneShort, async.LaneFlush, async.LanePage, async.LaneMeta)
	// Output: short flush page meta
}
