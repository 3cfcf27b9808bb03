package sys

import (
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"
)

// A LockMode is how an advisory lock excludes others; a larger one is stronger.
type LockMode uint8

const (
	Unlocked LockMode = iota
	LockShared
	LockExclusive
)

var (
	// ErrWouldBlock reports a lock that another open file holds.
	ErrWouldBlock = errors.New("lock is held elsewhere")
	// ErrLockLost reports, beside the cause, that a lock could not be converted
	// and that the previous one could not be restored: another process has
	// taken its place.
	ErrLockLost = errors.New("lock is lost")
)

// EndOfFile is the last byte of a range that reaches as far as a file ever can.
const EndOfFile = math.MaxInt64

// A FileLock places the advisory locks of one open file. No call waits for a
// lock. An open file has one mode per byte, so the users of a FileLock agree on
// the mode among themselves and call it one at a time.
//
// A call on a file that has been closed returns [os.ErrClosed]; it never locks
// a file that has been opened with the same descriptor since.
type FileLock struct {
	conn syscall.RawConn
	call func(fd uintptr) // l.run, bound once so that a call allocates nothing
	// Arguments of the call under way, and its outcome.
	ranged bool
	lo, hi int64
	mode   LockMode
	err    error

	whole  LockMode // of the whole file
	ranges ranges   // what a platform has to remember about ranges
}

// NewFileLock prepares the locks of f and takes none.
func NewFileLock(f *os.File) (*FileLock, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, unwrapPath(err)
	}
	l := &FileLock{conn: conn}
	l.call = l.run
	return l, nil
}

// Closed reports whether the file has been closed.
func (l *FileLock) Closed() bool {
	return l.conn.Control(func(uintptr) {}) != nil
}

// Set locks the whole file with m, which converts or releases what is held.
//
// It is flock(2), and LockFileEx of one byte beyond any data on Windows.
// Neither converts in one step: a conversion that is refused may have released
// the old lock, which is then taken again. If that fails too, the error is
// [ErrLockLost] beside the cause, and nothing is held. After every other error
// the lock is as it was.
func (l *FileLock) Set(m LockMode) error {
	before := l.whole
	if m == before {
		if l.Closed() {
			l.whole = Unlocked
			return os.ErrClosed
		}
		return nil
	}
	err := l.do(false, 0, 0, m)
	switch {
	case err == nil:
		l.whole = m
	case errors.Is(err, os.ErrClosed):
		l.whole = Unlocked
	case m == Unlocked || before == Unlocked:
		// The lock is as it was.
	case l.do(false, 0, 0, before) != nil:
		l.whole = Unlocked
		return fmt.Errorf("%w: %w", ErrLockLost, err)
	default:
		l.whole = before
	}
	return err
}

// SetRange locks the bytes from lo to hi, both included, with m, whatever they
// were locked with. A hi of [EndOfFile] includes all bytes that the file may
// ever have from lo on.
//
//   - Linux: an open-file-description lock. Bytes are converted together or not at
//     all; a refusal changes nothing.
//   - Windows: LockFileEx of bytes far beyond any data, since its locks would keep
//     others from reading. They do not conflict with locks of other programs on
//     ranges of the data. Bytes that change their mode are unlocked first, so
//     [ErrLockLost] is possible.
//   - Elsewhere: [errors.ErrUnsupported].
func (l *FileLock) SetRange(lo, hi int64, m LockMode) error { return l.do(true, lo, hi, m) }

// do makes a system call through conn, which fails once the file is closed.
func (l *FileLock) do(ranged bool, lo, hi int64, m LockMode) error {
	op := OpFlock
	if ranged {
		op = OpOFD
	}
	if err := injected(op); err != nil {
		return err
	}
	l.ranged, l.lo, l.hi, l.mode = ranged, lo, hi, m
	if l.conn.Control(l.call) != nil {
		return os.ErrClosed // the one reason for which Control fails
	}
	return l.err
}

// run makes the system call whose arguments are in l.
func (l *FileLock) run(fd uintptr) {
	if l.ranged {
		l.err = l.lockRange(fd)
	} else {
		l.err = l.lockWhole(fd)
	}
}
