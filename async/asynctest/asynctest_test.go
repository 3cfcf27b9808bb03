package asynctest_test

import (
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/async/asynctest"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

func TestMain(m *testing.M) {
	testutil.VerifyMain(m)
}

func TestExecutors(t *testing.T) {
	for name, open := range map[string]func() (async.Executor, func()){
		"goroutines": func() (async.Executor, func()) { return async.Goroutines(), nil },
		"inline":     func() (async.Executor, func()) { return async.Inline(), nil },
		"function": func() (async.Executor, func()) {
			return async.ExecutorFunc(func(f func()) error { go f(); return nil }), nil
		},
	} {
		t.Run(name, func(t *testing.T) { asynctest.TestExecutor(t, open) })
	}
}

// A test of an executor of your own looks like this.
func ExampleTestExecutor() {
	open := func() (async.Executor, func()) {
		return async.ExecutorFunc(func(f func()) error { go f(); return nil }), nil
	}
	_ = func(t *testing.T) { // func TestMyExecutor(t *testing.T)
		asynctest.TestExecutor(t, open)
	}
	// Output:
}
