package async

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrClosed is what work gets that a closed [Pool] refuses, or drops because
	// the context given to [Pool.Close] was done first. It is also the cause with
	// which the contexts of running work end.
	ErrClosed = errors.New("async: pool closed")

	// ErrOverloaded is the outcome of work that found the queue of its lane full.
	// Nothing of it has run. [GoWait] waits for room instead.
	ErrOverloaded = errors.New("async: queue full")

	// ErrSelfWait is what a task gets that would wait, with its own context, for
	// work of the lane it occupies, or for its own pool to close: with every
	// worker of the lane doing so, none would ever finish.
	ErrSelfWait = errors.New("async: task waits for its own lane")

	// ErrGoexit is the outcome of a task that ended its goroutine with
	// [runtime.Goexit], as [testing.T.FailNow] does.
	ErrGoexit = errors.New("async: task called runtime.Goexit")

	// ErrCanceled is the outcome of work dropped by [Future.Cancel] without a
	// cause. It is [context.Canceled].
	ErrCanceled = context.Canceled

	// errNone is the outcome of an Any that has nothing to choose from.
	errNone = errors.New("async: any of no futures")
)

// An AwaitError says that a wait ended, not the work that was waited for: that
// goes on, and its future resolves as if nobody had waited. Every other error
// from [Future.Await] is the outcome of the work.
//
// [errors.Is] finds both the cause and what ctx.Err() said.
type AwaitError struct {
	Cause error // context.Cause of the context that was done, or ErrSelfWait
	Err   error // the context's Err; nil for ErrSelfWait
}

// Error names the cause.
func (e *AwaitError) Error() string { return "async: await: " + e.Cause.Error() }

// Unwrap returns the cause and the context's own error.
func (e *AwaitError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Cause}
	}
	return []error{e.Cause, e.Err}
}

// A PanicError is the outcome of a task that panicked.
type PanicError struct {
	Value any    // what was given to panic
	Stack []byte // of the goroutine when it panicked, as debug.Stack has it
}

// Error gives the value; the stack is in the field alone, as it fills a page.
func (e *PanicError) Error() string { return fmt.Sprintf("async: task panicked: %v", e.Value) }

// Unwrap returns the value if it is an error, and nil otherwise.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
