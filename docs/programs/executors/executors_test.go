package executors

import (
	"testing"

	"github.com/alitto/pond/v2"
	"github.com/sourcegraph/conc"
	"golang.org/x/sync/errgroup"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/async/asynctest"
)

func TestExecutors(t *testing.T) {
	for name, open := range map[string]func() (async.Executor, func()){
		"pond": func() (async.Executor, func()) {
			p := pond.NewPool(0)
			return Pond(p), p.StopAndWait
		},
		"pond of 16": func() (async.Executor, func()) {
			p := pond.NewPool(16, pond.WithoutPanicRecovery())
			return Pond(p), p.StopAndWait
		},
		"conc": func() (async.Executor, func()) {
			var wg conc.WaitGroup
			return Conc(&wg), wg.Wait
		},
		"errgroup": func() (async.Executor, func()) {
			var g errgroup.Group
			return Errgroup(&g), func() { _ = g.Wait() } // its functions return no errors
		},
	} {
		t.Run(name, func(t *testing.T) { asynctest.TestExecutor(t, open) })
	}
}
