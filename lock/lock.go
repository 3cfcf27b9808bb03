package lock

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// Mode is what a lock keeps others from. The zero Mode is no mode.
type Mode uint8

const (
	// Shared keeps others from locking exclusively.
	Shared Mode = iota + 1
	// Exclusive keeps others from locking at all.
	Exclusive
)

// String is "shared" or "exclusive".
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
	// ErrLockedHere is the error of [Lock.Try] when another Lock of this process
	// holds the lock, by this os.File or another one of the same file.
	// errors.Is(ErrLockedHere, ErrLocked) is true.
	ErrLockedHere error = lockedHere{}
	// ErrDeadlock is the answer to a conversion that would wait for somebody who waits for the lock that is held. Release it.
	ErrDeadlock = errors.New("lock would wait for itself")
	// ErrNotHeld is the answer to the release of what is not held.
	ErrNotHeld = errors.New("lock is not held")
	// ErrLost reports, beside the cause, that the lock held before is gone: the system gave it up to convert it, and
	// another process came in between; or the file was closed. The first Release after that returns it too.
	ErrLost = errors.New("lock that was held is lost")
)

type lockedHere struct{}

func (lockedHere) Error() string        { return "locked elsewhere in this process" }
func (lockedHere) Is(target error) bool { return target == ErrLocked }

// A Lock is one holder of an advisory lock, on a file or a range of its bytes. Make one with [New];
// the zero Lock is not valid.
//
// A Lock holds at most one mode at a time, and does not count: one Release gives it back. Its methods may
// be called concurrently, but goroutines that are to exclude each other each need a Lock of their
// own. Those exclude each other whether they were made from one [os.File] or from several of the same file.
//
// Errors are *[fs.PathError]s, Op being "lock" or "unlock". Whatever the error, what was held
// before is still held, unless it says [ErrLost].
//
// A Lock that is held keeps its os.File reachable. Release it before closing the file: closing ends the lock in the
// system only if nothing else, a mapping or a child process, keeps the open file alive, and those who
// wait already are not told.
type Lock struct {
	file   *os.File
	parent *Lock // whose hold does not stand in this one's way; nil
	ranged bool
	lo, hi int64 // bytes, both included
	bad    error // what every call answers: a range that is none

	id    atomic.Pointer[key]   // of the file, once asked for
	entry atomic.Pointer[entry] // set while the lock is held or waited for; changed under entry.mu
	lost  atomic.Bool           // the hold is gone, and Release has not said so yet

	// Guarded by entry.mu, and by nobody while entry is nil.
	mode    Mode      // held
	turn    time.Time // while held: since when it has been handed on with no chance for other processes; zero when it has not
	pending int       // requests waiting
	kin     int       // requests waiting of locks nested in this one, whose entry is the same
	slot    int       // index in entry.holders
	h       *handle   // what places the system's lock, while entry is set
	own     *handle   // the one made for this lock, kept for later
}

// New returns a lock on the whole of f, not held. It makes no system call: what is
// wrong with f is reported by the first call that takes the lock. A nil f stands
// for memory that no file backs: every call of such a lock, of its ranges and of
// the locks nested in it fails with [errors.ErrUnsupported].
func New(f *os.File) *Lock {
	l := &Lock{file: f, hi: sys.EndOfFile}
	if f == nil {
		l.bad = errors.ErrUnsupported
	}
	return l
}

// Range returns a lock, not held, on the n bytes of the same file from offset off on. An n of 0 means all bytes from
// off to the end of the file, wherever that will be. Offsets count from the start of the file, also when l is a
// range itself. The bytes need not exist.
//
// Locks on ranges exclude each other where they overlap. They and locks on whole files do not see each
// other, as on local file systems the system's own do not: use one kind for a file.
//
//   - Linux: open-file-description locks. The file must be open for reading to share a range and for writing to have
//     it exclusively; otherwise the error is EBADF.
//   - Windows: ranges are locked far beyond the end of the file, so that reading and writing go on; they meet the
//     ranges of this package alone. Offsets from 1<<62 - 2 on are an error.
//   - Elsewhere [errors.ErrUnsupported] when it is taken.
//
// A negative off or n, or a range beyond the largest int64, is [fs.ErrInvalid] when it is taken.
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

// Nested returns a lock, not held, on what l is on, and of the same open file. What l holds does not stand in
// its way, nor do the locks that l itself is nested in; all others do, other locks nested in l included.
//
// So an owner keeps a lock for long, and lends parts of its time: those who hold nested locks exclude each
// other, while l keeps everybody else away. The system sees the strongest of them all. Where a nested lock is stronger
// than l, taking it converts the system's lock, and on failure l may be lost (see [ErrLost]).
func (l *Lock) Nested() *Lock {
	return &Lock{file: l.file, parent: l, ranged: l.ranged, lo: l.lo, hi: l.hi, bad: l.bad}
}

// Try takes the lock or converts what is held, at once or not at all: [ErrLocked] when it is held elsewhere in a mode
// that forbids it, or when somebody waits for it already. Holding m already is success.
//
// Holding Exclusive, Try(Shared) never waits for anybody of this process. Holding Shared, Try(Exclusive)
// that fails leaves the lock shared if it can; if not, the error says [ErrLost] too.
func (l *Lock) Try(m Mode) error {
	e, err := l.enter(m)
	if err != nil {
		return l.failed("lock", err)
	}
	err = e.try(request{l, m})
	e.leave(l)
	return l.failed("lock", err)
}

// Acquire takes the lock or converts what is held, and waits until it can. Holding m already is success.
//
// Within the process waiters are served in the order they came, readers that stand together go together, and the
// release wakes the next one. One who converts a lock goes before all who wait for that lock. If two holders
// of Shared both want Exclusive, the second is answered [ErrDeadlock]. Among processes there is no order.
//
// When ctx is done the error wraps [context.Cause], the place in the queue is free, and what was held is held
// still. A grant that was made before ctx was done stands. With a context that is done already, nothing is taken.
//
// Converting is atomic within the process, and for a range on Linux. Elsewhere the system gives up the old lock before
// it takes the new one, so that another process may come in between: if that is found out the error is [ErrLost], and
// if not, none: what was learnt from the file under the old lock is to be read again.
// Two processes that both convert Shared to Exclusive wait for each other until a context is done.
func (l *Lock) Acquire(ctx context.Context, m Mode) error {
	w, err := l.request(ctx, m, nil)
	if w == nil {
		return l.failed("lock", err)
	}
	select {
	case <-w.told:
	case <-ctx.Done():
		w.cancel() // unless the grant came first; either way w is told now
		<-w.told
	}
	return l.failed("lock", w.err)
}

// AcquireFunc is [Lock.Acquire] that waits in the queue alone: it returns at once, and done is called exactly once with
// what Acquire would have returned. Waiting costs no goroutine.
//
// done may be called before AcquireFunc returns, and from any goroutine: that of whoever releases
// the lock, of a timer, or of the context. It must not block. It may use the lock.
func (l *Lock) AcquireFunc(ctx context.Context, m Mode, done func(error)) {
	w, err := l.request(ctx, m, done)
	if w == nil {
		done(l.failed("lock", err))
		return
	}
	w.watch()
}

// Release gives back what is held and hands it on to whom it is due. It waits for nobody. [ErrNotHeld] when nothing is
// held, [ErrLost] when it was taken away by a failed conversion.
//
// After an error of the system the lock is held still, but for [fs.ErrClosed]: a file that
// is closed has no locks that could be given back. Locks waited for stay waited for.
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

// Held is the mode that the lock is held in, and whether it is.
func (l *Lock) Held() (Mode, bool) {
	e := l.attached()
	if e == nil {
		return 0, false
	}
	m := l.mode
	e.leave(l)
	return m, m != 0
}

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

func (l *Lock) notHeld() error {
	switch {
	case l.file == nil:
		return l.bad
	case l.lost.Swap(false):
		return ErrLost
	}
	return ErrNotHeld
}

// within says whether the hold of h does not stand in the way of l.
func (l *Lock) within(h *Lock) bool {
	for ; l != nil; l = l.parent {
		if l == h {
			return true
		}
	}
	return false
}

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
