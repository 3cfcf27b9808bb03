// Package executors lets the pools of package async run on goroutines that other
// modules supply: pond, conc, errgroup. Such an executor is what a program has to
// write that has its goroutines in one place already.
package executors

import (
	"github.com/alitto/pond/v2"
	"github.com/sourcegraph/conc"
	"golang.org/x/sync/errgroup"

	"github.com/fmmap-go/fmmap/async"
)

// Pond makes an executor of a pool of pond with the queue that pond gives it by
// default, which has no bound, and any number of workers, 0, or at least as many as
// [async.Executor] says that a pool uses: with fewer, lanes wait for one another.
func Pond(p pond.Pool) async.Executor {
	return async.ExecutorFunc(p.Go) // an error once p has been stopped
}

// Conc makes an executor of a conc.WaitGroup. A conc pool is none: Go of one with a
// limit blocks, and Go of one without may hand the goroutine that it starts to
// another caller, and wait for a loop to end.
func Conc(wg *conc.WaitGroup) async.Executor {
	return async.ExecutorFunc(func(f func()) error {
		wg.Go(f)
		return nil
	})
}

// Errgroup makes an executor of a group without a limit: with one, Go blocks. The
// lanes of a pool bound its goroutines.
func Errgroup(g *errgroup.Group) async.Executor {
	return async.ExecutorFunc(func(f func()) error {
		g.Go(func() error {
			f()
			return nil
		})
		return nil
	})
}
