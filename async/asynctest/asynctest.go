// Package asynctest checks that an executor is fit for a pool of package
// async, as testing/fstest does for file systems.
//
//	func TestExecutor(t *testing.T) {
//		asynctest.TestExecutor(t, func() (async.Executor, func()) {
//			e := myruntime.New()
//			return e, func() { e.Close() }
//		})
//	}
package asynctest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/async"
)

// limit is how long a test waits for what must happen before it fails. Nothing
// else depends on it.
const limit = 30 * time.Second

// TestExecutor tests executors made by open, a new one for each subtest. The
// function that open returns beside it, which may be nil, is called when all
// work of that executor has ended.
//
// It checks the contract of [async.Executor], and then that a pool over the
// executor keeps what async promises: every future resolves, whatever tasks
// do, lanes keep their widths, and no task runs after Close. It stops at the
// first subtest that fails. An executor has to supply up to 16 goroutines at a
// time.
func TestExecutor(t *testing.T, open func() (e async.Executor, close func())) {
	for _, x := range []struct {
		name string
		test func(t *testing.T, e async.Executor)
	}{
		{"RunsOnce", runsOnce},
		{"RunsTogether", runsTogether},
		{"RunsNested", runsNested},
		{"SurvivesGoexit", survivesGoexit},
		{"ResolvesEverything", resolvesEverything},
		{"KeepsWidth", keepsWidth},
		{"RunsNothingAfterClose", runsNothingAfterClose},
	} {
		ok := t.Run(x.name, func(t *testing.T) {
			e, closeExecutor := open()
			x.test(t, e)
			if closeExecutor != nil {
				closeExecutor()
			}
		})
		if !ok {
			return // the tests below build on it, and would hang or worse
		}
	}
}

// submit calls e.Submit on a goroutine of its own, as one that runs f in the
// caller may; so a Goexit in f ends no other.
func submit(t *testing.T, e async.Executor, f func()) {
	ctx := t.Context()
	go func() {
		if err := e.Submit(f); err != nil && ctx.Err() == nil {
			t.Errorf("Submit: %v", err)
		}
	}()
}

// await waits for wg, up to the limit.
func await(t *testing.T, what string, wg *sync.WaitGroup) {
	t.Helper()
	done := make(chan struct{})
	go func() { // ends with wg
		wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s: not within %v", what, limit)
	}
}

// runsOnce: an accepted function runs, once.
func runsOnce(t *testing.T, e async.Executor) {
	const n = 500
	var ran [n]atomic.Int32
	var wg sync.WaitGroup
	wg.Add(n)
	for i := range n {
		submit(t, e, func() {
			if ran[i].Add(1) == 1 {
				wg.Done()
			}
		})
	}
	await(t, "running what was submitted", &wg)
	for i := range ran {
		if got := ran[i].Load(); got != 1 {
			t.Errorf("function %d ran %d times, want once", i, got)
		}
	}
}

// runsTogether: loops that wait for one another all get a goroutine.
func runsTogether(t *testing.T, e async.Executor) {
	var met, left sync.WaitGroup
	met.Add(16)
	left.Add(16)
	for range 16 {
		submit(t, e, func() {
			met.Done()
			met.Wait()
			left.Done()
		})
	}
	await(t, "16 functions meeting", &left)
}

// runsNested: Submit may be called from inside a loop.
func runsNested(t *testing.T, e async.Executor) {
	var wg sync.WaitGroup
	wg.Add(16)
	var nest func(depth int) func()
	nest = func(depth int) func() {
		return func() {
			if depth > 1 {
				if err := e.Submit(nest(depth - 1)); err != nil {
					t.Errorf("Submit from inside: %v", err)
				}
			}
			wg.Done()
		}
	}
	submit(t, e, nest(16))
	await(t, "16 nested functions", &wg)
}

// survivesGoexit: a loop that ends its goroutine costs the executor nothing.
func survivesGoexit(t *testing.T, e async.Executor) {
	for range 50 {
		var wg sync.WaitGroup
		wg.Add(16)
		for range 16 {
			submit(t, e, func() {
				defer wg.Done()
				runtime.Goexit()
			})
		}
		await(t, "functions that call runtime.Goexit", &wg)
	}
	runsTogether(t, e)
}

// pool makes a pool over e and returns with it a function that closes it.
func pool(t *testing.T, o async.PoolOptions) (*async.Pool, func()) {
	t.Helper()
	p, err := async.NewPool(o)
	if err != nil {
		t.Fatal(err)
	}
	return p, func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := p.CloseContext(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// errTask is the error of failing tasks of resolvesEverything.
var errTask = errors.New("task failed")

// resolvesEverything: futures of tasks that return, fail, panic, exit, are
// cancelled or whose contexts end, all resolve to one of what they may.
func resolvesEverything(t *testing.T, e async.Executor) {
	for _, width := range []int{1, 4} {
		p, closePool := pool(t, async.PoolOptions{Executor: e, Short: async.LaneOptions{Width: width, Queue: 64}})
		var wg sync.WaitGroup
		wrong := make(chan error, 8*300)
		for range 8 {
			wg.Go(func() {
				for i := range 300 {
					if err := resolveOne(p, i); err != nil {
						wrong <- err
					}
				}
			})
		}
		await(t, "futures resolving", &wg)
		report(t, wrong)
		closePool()
		s := p.Stats().Short
		if s.Queued != 0 || s.Running != 0 || s.Done+s.Dropped == 0 {
			t.Errorf("after Close: %+v", s)
		}
	}
}

// report fails the test with what goroutines found wrong. They do not do that
// themselves, as they might outlive it.
func report(t *testing.T, wrong <-chan error) {
	t.Helper()
	for len(wrong) > 0 {
		t.Error(<-wrong)
	}
}

// resolveOne submits a task of the i-th kind and checks its outcome.
func resolveOne(p *async.Pool, i int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	f := async.GoWait(ctx, p, func(ctx context.Context) (int, error) {
		switch i % 7 {
		case 1:
			return 0, errTask
		case 2:
			panic(errTask)
		case 3:
			runtime.Goexit()
		}
		return i, nil
	})
	allowed := []error{nil}
	switch i % 7 {
	case 1, 2:
		allowed = []error{errTask}
	case 3:
		allowed = []error{async.ErrGoexit}
	case 4:
		f.Cancel(nil)
		allowed = []error{nil, context.Canceled}
	case 5:
		cancel()
		allowed = []error{nil, context.Canceled}
	}
	v, err := f.Await(context.Background())
	for _, want := range allowed {
		if errors.Is(err, want) && (err != nil || v == i) {
			return nil
		}
	}
	return fmt.Errorf("task of kind %d: got (%d, %v), want one of %v", i%7, v, err, allowed)
}

// keepsWidth: three tasks run at once in a lane three wide, and no more.
func keepsWidth(t *testing.T, e async.Executor) {
	const width = 3
	p, closePool := pool(t, async.PoolOptions{Executor: e, Short: async.LaneOptions{Width: width, Queue: 64}})
	defer closePool()
	var running, tooMany atomic.Int32
	var wg, met sync.WaitGroup
	met.Add(width)
	for range 30 {
		wg.Go(func() { // one each, as the executor may run it in the caller
			_ = async.GoWait(context.Background(), p, func(context.Context) (int, error) {
				if running.Add(1) > width {
					tooMany.Add(1)
				}
				runtime.Gosched()
				running.Add(-1)
				return 0, nil
			}).Wait()
		})
	}
	await(t, "tasks in a narrow lane", &wg)
	if n := tooMany.Load(); n > 0 {
		t.Errorf("%d times too many tasks ran at once in a lane %d wide", n, width)
	}
	for range width {
		wg.Go(func() {
			_ = async.GoWait(context.Background(), p, func(context.Context) (int, error) {
				met.Done()
				met.Wait()
				return 0, nil
			}).Wait()
		})
	}
	await(t, "as many tasks as the lane is wide, meeting", &wg)
}

// runsNothingAfterClose: of work submitted while the pool closes, what has not
// run by the end of Close never does.
func runsNothingAfterClose(t *testing.T, e async.Executor) {
	for range 100 {
		p, closePool := pool(t, async.PoolOptions{Executor: e})
		var closed atomic.Bool
		var late atomic.Int32
		var wg sync.WaitGroup
		wrong := make(chan error, 4*10)
		for range 4 {
			wg.Go(func() {
				for range 10 {
					err := async.Go(context.Background(), p, func(context.Context) (int, error) {
						if closed.Load() {
							late.Add(1)
						}
						return 0, nil
					}).Wait()
					if err != nil && !errors.Is(err, async.ErrClosed) {
						wrong <- fmt.Errorf("got %w, want nil or ErrClosed", err)
					}
				}
			})
		}
		closePool()
		closed.Store(true)
		await(t, "futures of a closed pool", &wg)
		report(t, wrong)
		if n := late.Load(); n != 0 {
			t.Fatalf("%d tasks ran after Close", n)
		}
	}
}
