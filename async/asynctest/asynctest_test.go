package asynctest_test

import (
	"context"
	"log"
	"runtime"
	"testing"

	"github.com/panjf2000/ants/v2"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/async/asynctest"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

func TestMain(m *testing.M) {
	testutil.VerifyMain(m, testutil.AntsOwn()...)
}

// yielding is a context for ReleaseContext, which spins and looks at Done each time: the goroutines that it
// waits for get to run where nobody is preempted (wasm).
type yielding struct{ context.Context }

func (yielding) Done() <-chan struct{} {
	runtime.Gosched()
	return nil
}

// antsPool makes executors of an ants pool as it comes.
func antsPool(t *testing.T, size int, options ...ants.Option) func() (async.Executor, func()) {
	return func() (async.Executor, func()) {
		p, err := ants.NewPool(size, options...)
		if err != nil {
			t.Fatal(err)
		}
		return p, func() {
			if err := p.ReleaseContext(yielding{context.Background()}); err != nil {
				t.Errorf("releasing ants: %v", err)
			}
		}
	}
}

func TestExecutors(t *testing.T) {
	for name, open := range map[string]func() (async.Executor, func()){
		"goroutines": func() (async.Executor, func()) { return async.Goroutines(), nil },
		"inline":     func() (async.Executor, func()) { return async.Inline(), nil },
		"function": func() (async.Executor, func()) {
			return async.ExecutorFunc(func(f func()) error { go f(); return nil }), nil
		},
		"ants":           antsPool(t, -1),
		"ants, no purge": antsPool(t, -1, ants.WithDisablePurge(true)),
		"ants, 32":       antsPool(t, 32),
		"ants, multiple": func() (async.Executor, func()) {
			p, err := ants.NewMultiPool(2, -1, ants.RoundRobin)
			if err != nil {
				t.Fatal(err)
			}
			return p, func() {
				if err := p.ReleaseContext(yielding{context.Background()}); err != nil {
					t.Errorf("releasing ants: %v", err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) { asynctest.TestExecutor(t, open) })
	}
}

// A test of an executor of your own looks like this.
func ExampleTestExecutor() {
	open := func() (async.Executor, func()) {
		p, err := ants.NewPool(-1)
		if err != nil {
			log.Fatal(err)
		}
		return p, p.Release
	}
	_ = func(t *testing.T) { // func TestMyExecutor(t *testing.T)
		asynctest.TestExecutor(t, open)
	}
	// Output:
}
