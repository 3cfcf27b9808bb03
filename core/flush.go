package core

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/internal/bounds"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// flushState is what the flushes of one file share.
type flushState struct {
	// failed is the first failure, for ever. Set before the failing flush leaves flights.
	failed  atomic.Pointer[FlushError]
	flights flights
}

// err is the failure that every call now answers, nil before there is one.
func (s *flushState) err() error {
	if e := s.failed.Load(); e != nil {
		return e
	}
	return nil
}

// fail remembers err, unless something failed before it.
func (s *flushState) fail(err error) { s.failed.CompareAndSwap(nil, &FlushError{Err: err}) }

// told makes a call that flushes nothing, but may be told of a failed write-back in place of a flush. The kernel
// tells once, so it counts as a failed flush, and a flush that overlaps hears of it.
func (s *flushState) told(call func() error) error {
	mine := s.flights.begin()
	err := call()
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		s.fail(err)
		err = s.err()
	}
	s.flights.end(mine, false)
	return err
}

// Flush makes every byte of the window durable: when it returns nil, the bytes that were stored before the
// call, the file's length, and the name of a file that this library created survive a power cut. It
// returns the first failure that any flush of this file has met, see [*FlushError], as
// the kernel would not report it again.
//
// On memory without a file it does nothing. Read-only, executable and copy-on-write files
// answer [ErrReadOnly]: nothing of theirs can reach the file.
func (f *File) Flush() error {
	return f.flushRange("flush", func(g *generation) (int64, int64, bool) { return 0, int64(len(g.data)), true })
}

// FlushRange is [File.Flush] for the bytes [off, off+n) of the window; the length and the name become durable
// too. It answers [ErrRange] when they do not lie within the window.
//
// Each call has its own system call and device flush; to serve many callers with one, use a
// Committer of the flush package or the async package.
func (f *File) FlushRange(off, n int64) error {
	return f.flushRange("flush", func(g *generation) (int64, int64, bool) { return off, n, bounds.Within(off, n, int64(len(g.data))) })
}

func (f *File) flushRange(op string, rng func(*generation) (off, n int64, ok bool)) error {
	g, s, err := f.enter()
	if err != nil {
		return f.fail(op, err)
	}
	defer f.leave(g.epoch, s)
	off, n, ok := rng(g)
	switch {
	case !ok:
		return f.fail(op, ErrRange)
	case f.access != ReadWrite:
		return f.fail(op, ErrReadOnly)
	case f.file == nil:
		return nil
	}
	if err := f.flush.err(); err != nil {
		return f.fail(op, err)
	}
	mine := f.flush.flights.begin()
	if n == 0 || g.region.m == nil {
		err = sys.SyncFile(f.file) // the length alone
	} else {
		err = g.region.m.Sync(g.region.delta+off, n)
	}
	if err == nil {
		err = f.dir.sync()
	}
	if err != nil {
		f.flush.fail(err)
	}
	f.flush.flights.end(mine, true)
	// The kernel tells one of several overlapping flushes of a write-back that failed, and not
	// always the one whose bytes they were. So success is believed only when all that overlapped have told.
	return f.fail(op, f.flush.err())
}

// StartWriteback begins writing the dirty bytes of [off, off+n) to the device and waits for nothing,
// so that a later flush has less to do. It promises no durability, but a failure counts as one of a flush: it
// is remembered, see [*FlushError]. Where the system has no such call it answers [errors.ErrUnsupported]; on
// memory it does nothing.
func (f *File) StartWriteback(off, n int64) error {
	const op = "writeback"
	g, s, err := f.enter()
	if err != nil {
		return f.fail(op, err)
	}
	defer f.leave(g.epoch, s)
	switch {
	case !bounds.Within(off, n, int64(len(g.data))):
		return f.fail(op, ErrRange)
	case f.access != ReadWrite:
		return f.fail(op, ErrReadOnly)
	case f.file == nil || n == 0:
		return nil
	}
	if err := f.flush.err(); err != nil {
		return f.fail(op, err)
	}
	return f.fail(op, f.flush.told(func() error { return sys.StartWriteback(f.file, f.opts.Offset+off, n) }))
}

// flights knows the flushes under way, in the order they began.
type flights struct {
	mu          sync.Mutex
	landed      sync.Cond // on mu: the first flight has ended
	first, last *flight
	tickets     uint64
}

type flight struct {
	ticket     uint64
	prev, next *flight
}

func (fl *flights) begin() *flight {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.tickets++
	f := &flight{ticket: fl.tickets, prev: fl.last}
	if fl.last != nil {
		fl.last.next = f
	} else {
		fl.first = f
	}
	fl.last = f
	return f
}

// end ends a flight and, if it is to, waits for those that were under way at that moment. They
// do not wait for this one, which has already gone.
func (fl *flights) end(f *flight, wait bool) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		fl.first = f.next
		if fl.landed.L != nil {
			fl.landed.Broadcast()
		}
	}
	if f.next != nil {
		f.next.prev = f.prev
	} else {
		fl.last = f.prev
	}
	upTo := fl.tickets
	for wait && fl.first != nil && fl.first.ticket <= upTo {
		fl.landed.L = &fl.mu
		fl.landed.Wait()
	}
}
