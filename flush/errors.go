package flush

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/fmmap-go/fmmap/internal/bounds"
)

var (
	// ErrRange is the outcome of a request whose range is negative, overflows, or
	// lies outside the target. Such a request fails alone: it is part of no batch.
	ErrRange = bounds.ErrRange

	// ErrClosed is the outcome of a request made after Close or Stop began.
	// errors.Is(ErrClosed, fs.ErrClosed) holds.
	ErrClosed = fmt.Errorf("flush: %w", fs.ErrClosed)

	// ErrGoexit is the outcome of a batch whose target called [runtime.Goexit].
	ErrGoexit = errors.New("flush: target called runtime.Goexit")
)

// PanicError is the outcome of a batch whose target panicked. The panic ends
// there: whoever runs the batch is often not the one who could handle it, and the
// members must hear of it. The committer goes on with the next batch.
type PanicError struct {
	Value any    // what the target panicked with
	Stack []byte // of the goroutine that panicked, as from debug.Stack
}

// Error is the panic's value and stack.
func (e *PanicError) Error() string {
	return fmt.Sprintf("flush: target panicked: %v\n\n%s", e.Value, e.Stack)
}

// Unwrap is the panic's value, if that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// isFinal says whether err, or an error that it wraps, has a method Final that
// answers true: then no later flush of the target can be trusted.
func isFinal(err error) bool {
	var f interface{ Final() bool }
	return errors.As(err, &f) && f.Final()
}
