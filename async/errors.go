package async

import (
	"errors"

	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/lane"
)

var (
	// ErrClosed is the outcome of work that a closed [Pool] refuses, or drops
	// because the context given to [Pool.CloseContext] ended first. It is also
	// the cause with which the contexts of running work end then.
	ErrClosed = lane.ErrClosed

	// ErrOverloaded is the outcome of work that found the queue of its lane full.
	// None of it has run. [GoWait] waits for room instead.
	ErrOverloaded = lane.ErrOverloaded

	// ErrSelfWait is returned to a task that would wait, with its own context, for
	// work of the lane it occupies, or for its own pool to close: with every
	// worker of the lane doing so, none would ever finish.
	ErrSelfWait = lane.ErrSelfWait

	// ErrGoexit is the outcome of a task that ended its goroutine with
	// [runtime.Goexit], as [testing.T.FailNow] does. It is [flush.ErrGoexit].
	ErrGoexit = flush.ErrGoexit

	// errNone is the outcome of an Any that has nothing to choose from.
	errNone = errors.New("async: any of no futures")
)

// A PanicError is the outcome of a task that panicked.
type PanicError = flush.PanicError

// An AwaitError reports that a wait ended, not the work that was waited for:
// that goes on, and its future resolves as if there had been no wait. Every
// other error from [Future.Await] is the outcome of the work.
//
// [errors.Is] finds both the cause and the context's own error.
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
