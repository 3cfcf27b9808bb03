package flush

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/fmmap-go/fmmap/internal/bounds"
)

var (
	// ErrRange is the outcome of a request whose range is negative, overflows,
	// or lies outside the target. Such a request fails alone: it is part of no
	// batch.
	ErrRange = bounds.ErrRange

	// ErrGoexit is the outcome of a batch whose target called [runtime.Goexit],
	// and of any other work that ended its goroutine instead of returning.
	ErrGoexit = errors.New("work called runtime.Goexit")

	errCommitterClosed  = fmt.Errorf("committer: %w", fs.ErrClosed)
	errBackgroundClosed = fmt.Errorf("background flush: %w", fs.ErrClosed)
)

// A PanicError is the outcome of a batch whose target panicked, and of any
// other work that panicked where its caller could not recover the panic. The
// members of the batch receive it, and the committer continues with the next
// batch.
type PanicError struct {
	Value any    // the argument of panic
	Stack []byte // of the goroutine that panicked, as formatted by debug.Stack
}

// Error returns one line with the value. The stack is in the field.
func (e *PanicError) Error() string {
	return "panic: " + oneLine(fmt.Sprint(e.Value))
}

// oneLine replaces line breaks by spaces.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Unwrap returns the value if it is an error, and nil otherwise.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// isFinal reports whether err, or an error that it wraps, has a method Final
// that returns true: then no later flush of the target can be trusted.
func isFinal(err error) bool {
	var f interface{ Final() bool }
	return errors.As(err, &f) && f.Final()
}
