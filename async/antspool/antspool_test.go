package antspool_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/async/antspool"
	"github.com/fmmap-go/fmmap/async/asynctest"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// TestMain excuses the two goroutines of ants' default pool, which importing
// ants starts, and nothing else.
func TestMain(m *testing.M) {
	testutil.VerifyMain(m,
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"))
}

func TestExecutor(t *testing.T) {
	for name, o := range map[string]antspool.Options{
		"unbounded": {},
		"bounded":   {Workers: 16}, // as many as the tests need at once
		"impatient": {Workers: 20, IdleTime: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			asynctest.TestExecutor(t, func() (async.Executor, func()) {
				e := antspool.New(o)
				return e, func() {
					if err := e.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				}
			})
		})
	}
}

// TestBound: no more loops run at once than there are workers, Submit does not
// block, and what is beyond the bound runs later, in order.
func TestBound(t *testing.T) {
	for _, end := range []func(){func() {}, runtime.Goexit} {
		synctest.Test(t, func(t *testing.T) {
			e := antspool.New(antspool.Options{Workers: 2})
			var mu sync.Mutex
			running, most := 0, 0
			var order []int
			for i := range 7 {
				if err := e.Submit(func() {
					mu.Lock()
					running++
					most = max(most, running)
					order = append(order, i)
					mu.Unlock()
					<-time.After(time.Duration(1+i) * time.Second)
					mu.Lock()
					running--
					mu.Unlock()
					end()
				}); err != nil {
					t.Error(err)
				}
				synctest.Wait()
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			if most != 2 || !slices.Equal(order, []int{0, 1, 2, 3, 4, 5, 6}) {
				t.Errorf("%d ran at once, in the order %v", most, order)
			}
		})
	}
}

// TestNarrowPool: futures resolve although the executor has fewer workers than
// the pool has lanes.
func TestNarrowPool(t *testing.T) {
	e := antspool.New(antspool.Options{Workers: 1})
	p, err := async.NewPool(async.PoolOptions{Executor: e, Short: async.LaneOptions{Width: 4}})
	if err != nil {
		t.Fatal(err)
	}
	var fs []*async.Future[int]
	for i := range 500 {
		fs = append(fs, async.Go(t.Context(), p, func(context.Context) (int, error) { return i, nil }))
	}
	if _, err := async.All(fs...).Await(t.Context()); err != nil {
		t.Error(err)
	}
	if err := errors.Join(p.Close(), e.Close()); err != nil {
		t.Error(err)
	}
}

// TestClose: it refuses at once, waits for what was accepted, and may be
// repeated; a context ends the wait, not the closing.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := antspool.New(antspool.Options{Workers: 1})
		quit := make(chan struct{})
		ran := false
		for _, f := range []func(){func() { <-quit }, func() { ran = true }} {
			if err := e.Submit(f); err != nil {
				t.Fatal(err)
			}
		}
		why := errors.New("why")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		if err := e.CloseContext(ctx); err != why {
			t.Errorf("CloseContext: got %v, want the cause of its context", err)
		}
		if err := e.Submit(func() {}); !errors.Is(err, antspool.ErrClosed) || !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Submit to a closed executor: got %v, want ErrClosed", err)
		}
		closed := make(chan error)
		for range 2 {
			go func() { closed <- e.Close() }()
		}
		synctest.Wait()
		select {
		case err := <-closed:
			t.Errorf("Close: %v while a loop runs", err)
		default:
		}
		close(quit)
		for range 2 {
			if err := <-closed; err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		if !ran {
			t.Error("a pending loop did not run")
		}
		for range 20 { // a select would choose at random
			if err := e.CloseContext(ctx); err != nil {
				t.Errorf("Close of a closed executor: %v", err)
			}
		}
	})
}

// TestLoopsThatPanic end the process: ants would log the panic and go on.
func TestLoopsThatPanic(t *testing.T) {
	if os.Getenv("ANTSPOOL_TEST_CRASH") != "" {
		_ = antspool.New(antspool.Options{}).Submit(func() { panic("the loop's own words") })
		select {}
	}
	testutil.RequireProcesses(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestLoopsThatPanic$")
	cmd.Env = append(os.Environ(), "ANTSPOOL_TEST_CRASH=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "panic: the loop's own words") {
		t.Errorf("the process ended with %v:\n%s", err, out)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []antspool.Options{{Workers: -1}, {IdleTime: -1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New(%+v) did not panic", o)
				}
			}()
			antspool.New(o)
		}()
	}
}
