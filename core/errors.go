package core

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/fmmap-go/fmmap/internal/bounds"
)

var (
	// ErrReadOnly is the error of a store, a resize or a flush on a file whose
	// access does not allow it: read-only, copy-on-write, executable or frozen.
	ErrReadOnly = errors.New("mapping is read-only")
	// ErrRange is the error of an offset or a length that is negative,
	// overflows, or lies outside the window.
	ErrRange = bounds.ErrRange
	// ErrFault is what every [*FaultError] is.
	ErrFault = errors.New("memory fault")
	// ErrInUse is the error of growing memory past its room in a callback while
	// the memory is in use: see [File.Truncate].
	ErrInUse = errors.New("memory that is in use cannot be moved, and a callback must not wait for that")
	// ErrFlushFailed is what every [*FlushError] is.
	ErrFlushFailed = errors.New("an earlier flush failed: bytes may be lost until the file is opened again")

	errUnsteady   = errors.New("the name means another file each time it is looked up")
	errUnmappable = fmt.Errorf("a file that cannot be mapped: %w", errors.ErrUnsupported)
	errNotRegular = fmt.Errorf("not a regular file: %w", errors.ErrUnsupported)
	errNoExec     = fmt.Errorf("memory that cannot be made executable: %w", errors.ErrUnsupported)
	errNoFile     = fmt.Errorf("not backed by a file: %w", errors.ErrUnsupported)
	errNoName     = fmt.Errorf("no name of the file is known: %w", errors.ErrUnsupported)
	errNoMapping  = fmt.Errorf("neither a regular file nor a device: %w", errors.ErrUnsupported)
	errDevice     = fmt.Errorf("the size of a device is fixed: %w", errors.ErrUnsupported)
	errPastRoom   = fmt.Errorf("past the reserved address space, where the private changes could not follow: %w", errors.ErrUnsupported)
)

// FaultError reports that mapped bytes could not be brought in: the file was
// made shorter by another process, the device failed, or the disk is full.
// Without the guard that made this error, the process would have died of
// SIGBUS.
//
// errors.Is(err, [ErrFault]) holds for it, and errors.Is with its cause.
type FaultError struct {
	// Offset in the file of a byte that is lost. Where several bytes were used,
	// it need not be the first of them.
	Offset int64

	// Err is the error of the system call that was refused the bytes, nil when
	// the program touched them itself. It may name the file or the connection
	// that the bytes were meant for.
	Err error
}

func (e *FaultError) Error() string {
	s := fmt.Sprintf("memory fault at offset %d", e.Offset)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause, if there is one.
func (e *FaultError) Unwrap() error { return e.Err }

// Is makes a FaultError match [ErrFault].
func (e *FaultError) Is(target error) bool { return target == ErrFault }

// FlushError is the first failure to make bytes of a file durable. The kernel
// reports such a failure once and counts the pages as clean from then on, so no
// later flush can be believed: each returns this same error until the file is
// opened again. That brings nothing back: what was stored since the last flush
// that succeeded may be in memory alone, where it can be read until the kernel
// drops it, and has to be stored again.
//
// errors.Is(err, [ErrFlushFailed]) holds for it, and errors.Is with its cause.
type FlushError struct {
	Err error // of the system call that failed first
}

func (e *FlushError) Error() string { return "flush failed: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *FlushError) Unwrap() error { return e.Err }

// Is makes a FlushError match [ErrFlushFailed].
func (e *FlushError) Is(target error) bool { return target == ErrFlushFailed }

// Final reports that asking again cannot succeed.
func (e *FlushError) Final() bool { return true }

// fail wraps a cause with the operation and the file's name. A PathError from
// the layers below is opened up first, so that each error carries one path.
func (f *File) fail(op string, err error) error { return pathError(op, f.name, err) }

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	if pe, ok := err.(*fs.PathError); ok {
		err = pe.Err
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}
