package async

// An Executor supplies a [Pool] with goroutines. It is the interface to another
// runtime: see package async/antspool for one, and asynctest for a test of it.
//
// Submit runs f exactly once, soon, on a goroutine of the executor's choice,
// or returns an error and never runs it. What it is given are loops, not
// tasks: each drains the queue of one lane, so that an executor is called
// rarely and needs no queue of its own. A pool never has more loops than the
// widths of its lanes add up to, where that of Flush counts once per device, that
// of Page twice, as stores have a lane of their own, and that of Meta three times.
// Submit may be called concurrently, and from inside a loop.
//
// A Submit that blocks blocks the call that submitted the work; one that fails
// fails everything queued in a lane that has no loop left. An f that panics or
// calls [runtime.Goexit] must not take the executor down: the pool recovers
// the panics of tasks, but nothing can stop a Goexit.
//
// An executor must outlive its pools: close it after [Pool.Close].
type Executor interface {
	Submit(f func()) error
}

// ExecutorFunc makes an [Executor] of a function.
type ExecutorFunc func(f func()) error

// Submit calls e(f).
func (e ExecutorFunc) Submit(f func()) error { return e(f) }

// Goroutines is an [Executor] that starts a goroutine for each loop. A pool that
// is given no executor uses it.
func Goroutines() Executor { return goroutines{} }

type goroutines struct{}

// Submit starts a goroutine, which ends when the loop does: the pool that
// submitted it counts it and waits for it in Close.
func (goroutines) Submit(f func()) error {
	go f()
	return nil
}

// Inline is an [Executor] that runs work in the goroutine that submits it, for
// tests and small tools. Its future is resolved when the call returns, unless
// another goroutine is at work in the same lane: then that one runs it. Work
// submitted from inside a task runs nested, no deeper than the lane is wide;
// beyond that it is queued and runs when the outer task has returned. A task
// that calls [runtime.Goexit] ends the goroutine that submitted it.
func Inline() Executor { return inline{} }

type inline struct{}

func (inline) Submit(f func()) error {
	f()
	return nil
}
