package lock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// Mode is the mode of a lock: shared or exclusive. The zero Mode is no mode.
type Mode uint8

const (
	// Shared keeps others from locking exclusively.
	Shared Mode = iota + 1
	// Exclusive keeps others from locking at all.
	Exclusive
)

// String returns "shared" or "exclusive", and "none" for other values.
func (m Mode) String() string {
	switch m {
	case Shared:
		return "shared"
	case Exclusive:
		return "exclusive"
	}
	return "none"
}

var (
	// ErrLocked is the error of [Lock.Try] when another Lock or another process
	// holds the lock, or an earlier request waits for it. Test with errors.Is.
	ErrLocked = errors.New("locked elsewhere")
	// ErrLockedHere is the error of [Lock.Try] when another Lock of this
	// process holds the lock, by this os.File or another one of the same file.
	// errors.Is(ErrLockedHere, ErrLocked) is true.
	ErrLockedHere error = lockedHere{}
	// ErrDeadlock is the error of a conversion that would wait for a request
	// that waits for the lock that is held. Release that lock.
	ErrDeadlock = errors.New("lock would wait for itself")
	// ErrNotHeld is the error of a release of a lock that is not held.
	ErrNotHeld = errors.New("lock is not held")
	// ErrLost reports, beside the cause, that the lock held before is lost: the
	// system released it in order to convert it, and another process locked the
	// file in between; or the file was closed. The first Release after that
	// returns it too.
	ErrLost = errors.New("lock that was held is lost")
)

type lockedHere struct{}

func (lockedHere) Error() string        { return "locked elsewhere in this process" }
func (lockedHere) Is(target error) bool { return target == ErrLocked }

// A Lock is one holder of an advisory lock, on a file or a range of its bytes.
// Make one with [New]; the zero Lock is not valid.
//
// A Lock holds at most one mode at a time, and does not count: one Release
// releases it. Its methods may be called concurrently, but goroutines that are
// to exclude each other each need a Lock of their own. Those exclude each other
// whether they were made from one [os.File] or from several of the same file.
//
// Errors are *[fs.PathError]s with Op "lock" or "unlock". After an error the
// lock has the mode that it had before, unless the error wraps [ErrLost].
//
// A Lock that is held keeps its os.File reachable. Release it before closing
// the file: closing ends the lock in the system only if nothing else, such as a
// mapping or a child process, keeps the open file alive, and requests that wait
// already are not woken.
type Lock struct {
	file   *os.File
	parent *Lock // whose hold does not block this one; nil
	ranged bool
	lo, hi int64 // bytes, both included
	bad    error // of every call: the range is not valid, or there is no file

	id    atomic.Pointer[key]   // of the file, once asked for
	known key                   // what NewKnown has id point to
	entry atomic.Pointer[entry] // set while the lock is held or waited for; changed under entry.mu
	lost  atomic.Bool           // the hold is lost, and Release has not returned that yet

	// Guarded by entry.mu while entry is set.
	mode          Mode // held
	node          node[*Lock]
	turn          time.Time // since when the lock is handed on within the process; zero when it is not
	pending       int       // requests waiting
	nestedWaiters int       // requests waiting of locks nested in this one, whose entry is the same
	h             *handle   // while entry is set: holds the system's lock
	own           *handle   // the one made for this lock, kept for later
}

// New returns a lock on the whole of f, not held. It makes no system call: an
// unusable f is reported by the first call that takes the lock. A nil f
// stands for memory that no file backs: every call of such a lock, of its
// ranges and of the locks nested in it fails with [errors.ErrUnsupported].
func New(f *os.File) *Lock {
	l := &Lock{file: f, hi: sys.EndOfFile}
	if f == nil {
		l.bad = errors.ErrUnsupported
	}
	return l
}

// NewKnown returns [New](f) for a caller that has called f.Stat: with what that
// returned, the first call that takes the lock makes one system call less. A
// Lock for which info describes another file excludes nothing.
func NewKnown(f *os.File, info fs.FileInfo) *Lock {
	l := New(f)
	if id, ok := sys.IdentityOf(info); ok && f != nil {
		l.known = key{id: id}
		l.id.Store(&l.known)
	}
	return l
}

// String describes the lock for people: the name of its file and, if it is on a
// range, the first byte and the one behind the last. It does not show whether the
// lock is held.
func (l *Lock) String() string {
	switch {
	case l.file == nil:
		return "lock of no file"
	case !l.ranged:
		return "lock of " + l.file.Name()
	case l.hi == sys.EndOfFile:
		return fmt.Sprintf("lock of %s[%d:]", l.file.Name(), l.lo)
	}
	return fmt.Sprintf("lock of %s[%d:%d]", l.file.Name(), l.lo, l.hi+1)
}

// Range returns a lock, not held, on the n bytes of the same file from offset
// off. An n of 0 means all bytes from off to the end of the file, wherever that
// will be. Offsets count from the start of the file, also when l is a range
// itself. The bytes need not exist.
//
// Locks on ranges exclude each other where they overlap. They and locks on
// whole files do not see each other, nor do the system's own on local file
// systems: use one kind for a file.
//
//   - Linux: open-file-description locks. The file must be open for reading to
//     lock a range shared and for writing to lock it exclusively; otherwise the
//     error is EBADF.
//   - Windows: the ranges locked are far beyond the end of the file, so that
//     reading and writing continue; they exclude only other ranges of this
//     package. Offsets from 1<<62 - 2 on are an error.
//   - Elsewhere taking the lock fails with [errors.ErrUnsupported].
//
// For a negative off or n, or a range beyond the largest int64, taking the lock
// fails with [fs.ErrInvalid].
func (l *Lock) Range(off, n int64) *Lock {
	r := &Lock{file: l.file, ranged: true, lo: off, hi: sys.EndOfFile}
	switch {
	case l.file == nil:
		r.bad = l.bad
	case off < 0 || n < 0 || n > 0 && off > sys.EndOfFile-(n-1):
		r.bad = fs.ErrInvalid
	case n > 0:
		r.hi = off + (n - 1)
	}
	return r
}

// Nested returns a lock, not held, on the same bytes and of the same open file
// as l. Neither l nor the locks that l itself is nested in block it; all others
// do, other locks nested in l included.
//
// With it an owner can hold l for long and lend it for parts of that time: the
// holders of nested locks exclude each other, while l excludes all others. The
// system sees the strongest of them all. Where a nested lock is stronger than
// l, taking it converts the system's lock, and on failure l may be lost (see
// [ErrLost]).
func (l *Lock) Nested() *Lock {
	return &Lock{file: l.file, parent: l, ranged: l.ranged, lo: l.lo, hi: l.hi, bad: l.bad}
}

// Try takes the lock, or converts its mode, without waiting. It fails with
// [ErrLocked] when the lock is held elsewhere in a mode that forbids it, or
// when an earlier request waits for it, and with [ErrLockedHere], which is an
// ErrLocked, when another Lock of this process holds it. Holding m already is
// success.
//
// Holding Exclusive, Try(Shared) always succeeds as far as this process goes.
// Holding Shared, a Try(Exclusive) that fails leaves the lock shared if it can;
// if not, the error wraps [ErrLost] too.
func (l *Lock) Try(m Mode) error {
	e, err := l.enter(m)
	if err != nil {
		return l.failed("lock", err)
	}
	err = e.try(request{l, m})
	e.leave(l)
	return l.failed("lock", err)
}

// Acquire takes the lock, or converts its mode, and waits until it can.
// Holding m already is success.
//
// Within the process requests are granted in the order they were made, Shared
// ones that follow each other are granted together, and a release wakes the
// next one. A request to convert a lock is served before the ones that wait for
// that lock. If two holders of Shared both request Exclusive, the second fails
// with [ErrDeadlock]. There is no order among processes.
//
// When ctx is done the error wraps [context.Cause], the request has left the
// queue, and the lock has its old mode. A grant that was made before ctx was
// done stands. With a context that is done already, nothing is taken.
//
// Converting is atomic within the process, and for a range on Linux. Elsewhere
// the system releases the old lock before it takes the new one, so that another
// process may lock the file in between: if that is noticed the error wraps
// [ErrLost], and otherwise there is none, so bytes read from the file under
// the old lock have to be read again. Two processes that both convert Shared to
// Exclusive wait for each other until a context is done.
func (l *Lock) Acquire(ctx context.Context, m Mode) error {
	w, err := l.request(ctx, m, nil)
	if w == nil {
		return l.failed("lock", err)
	}
	select {
	case <-w.outcome:
	case <-ctx.Done():
		w.cancel() // unless the grant came first; either way there is an outcome now
		<-w.outcome
	}
	return l.failed("lock", w.err)
}

// AcquireFunc is like [Lock.Acquire], except that it returns at once and calls
// done exactly once with what Acquire would have returned. Waiting costs no
// goroutine.
//
// done may be called before AcquireFunc returns, and by any goroutine: the one
// that releases the lock, that of a timer, or that of the context. It must not
// block. It may use the lock.
func (l *Lock) AcquireFunc(ctx context.Context, m Mode, done func(error)) {
	w, err := l.request(ctx, m, done)
	if w == nil {
		done(l.failed("lock", err))
		return
	}
	w.watch()
}

// Release releases the lock, and grants it to the requests that waited for it.
// It does not wait. It fails with [ErrNotHeld] when nothing is held, and with
// [ErrLost] when the lock was lost before.
//
// After an error of the system the lock is still held, except for
// [fs.ErrClosed]: a closed file has no locks to release. Requests of l that
// wait keep waiting.
func (l *Lock) Release() error {
	e := l.attached()
	if e == nil {
		return l.failed("unlock", l.notHeld())
	}
	var err error
	if l.mode == 0 {
		err = l.notHeld()
	} else {
		err = e.release(l)
	}
	e.leave(l)
	return l.failed("unlock", err)
}

// Held returns the mode that the lock is held in, and whether it is held.
func (l *Lock) Held() (Mode, bool) {
	e := l.attached()
	if e == nil {
		return 0, false
	}
	m := l.mode
	e.leave(l)
	return m, m != 0
}

// request grants m to l, fails, or queues a request for it and returns the
// waiter.
func (l *Lock) request(ctx context.Context, m Mode, done func(error)) (*waiter, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	e, err := l.enter(m)
	if err != nil {
		return nil, err
	}
	w, err := e.wait(ctx, request{l, m}, done)
	e.leave(l)
	return w, err
}

// notHeld returns the error of a release of l, which holds nothing.
func (l *Lock) notHeld() error {
	switch {
	case l.file == nil:
		return l.bad
	case l.lost.Swap(false):
		return ErrLost
	}
	return ErrNotHeld
}

// failed returns cause, if it is not nil, with the operation and the name of
// the file.
func (l *Lock) failed(op string, cause error) error {
	if cause == nil {
		return nil
	}
	path := "(no file)"
	if l.file != nil {
		path = l.file.Name()
	}
	return &fs.PathError{Op: op, Path: path, Err: cause}
}
