package core

import (
	"container/list"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/internal/bounds"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// flushState is what the flushes of one file share.
type flushState struct {
	// failed is the first failure, forever. It is set before the flush that
	// failed leaves inflight.
	failed   atomic.Pointer[FlushError]
	inflight inflight
}

// err returns the failure that every call returns by now, nil before there is
// one.
func (s *flushState) err() error {
	if e := s.failed.Load(); e != nil {
		return e
	}
	return nil
}

// fail remembers err, unless something failed before it.
func (s *flushState) fail(err error) { s.failed.CompareAndSwap(nil, &FlushError{Err: err}) }

// recordWritebackErr runs call, which does not flush but may consume the
// kernel's one report of a failed write-back. Such an error is recorded as a
// failed flush and seen by overlapping flushes.
func (s *flushState) recordWritebackErr(call func() error) error {
	op := s.inflight.begin()
	err := call()
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		s.fail(err)
		err = s.err()
	}
	s.inflight.end(op, false)
	return err
}

// Flush makes every byte of the window durable: when it returns nil, the bytes
// that were stored before the call, the file's length, and the name of a file
// that this library created survive a power cut. It returns the first failure
// that any flush of this file has met, see [*FlushError], as the kernel would
// not report it again.
//
// The name is made durable through the directory, which on Linux is opened for
// that (see [OpenFile]). On file systems without a journal, such as ext2 and vfat,
// a failure to write the directory back that another process has already been
// told of is not seen then; ext4, xfs and btrfs fail every sync after one.
//
// On memory without a file it does nothing. Read-only, executable and
// copy-on-write files return [ErrReadOnly]: none of their stores can reach the
// file.
func (f *File) Flush() error {
	return f.flushRange("flush", func(size int64) (int64, int64, bool) { return 0, size, true })
}

// FlushRange is [File.Flush] for the bytes [off, off+n) of the window; the
// length and the name become durable too. It returns [ErrRange] when they do
// not lie within the window.
//
// Each call has its own system call and device flush; to serve many callers
// with one, use a Committer of the flush package or the async package.
func (f *File) FlushRange(off, n int64) error {
	return f.flushRange("flush", func(size int64) (int64, int64, bool) { return off, n, bounds.Within(off, n, size) })
}

// flushRange flushes the range that rng returns for the window's length.
func (f *File) flushRange(op string, rng func(size int64) (off, n int64, ok bool)) error {
	g, running, err := f.enter()
	if err != nil {
		return f.fail(op, err)
	}
	defer f.leave(g.epoch, running)
	off, n, ok := rng(int64(len(g.data)))
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
	f.stores.recent.forgetRange(off+f.skew(), n)
	self := f.flush.inflight.begin()
	if n == 0 || g.region.m == nil {
		err = sys.SyncFile(f.file) // the length alone
	} else {
		err = g.region.m.Sync(g.region.delta+off, n)
	}
	if err == nil {
		err = f.dir.sync(f.file)
	}
	if err != nil {
		f.flush.fail(err)
	}
	f.flush.inflight.end(self, true)
	// The kernel reports a failed write-back to one of several overlapping
	// flushes, and not always to the one whose bytes they were. So a flush has
	// succeeded only if those that it overlapped have succeeded too.
	return f.fail(op, f.flush.err())
}

// StartWriteback begins writing the dirty bytes of [off, off+n) to the device
// and waits for nothing, so that a later flush has less to do. It promises no
// durability, but a failure counts as one of a flush: it is remembered, see
// [*FlushError]. Where the system has no such call it returns
// [errors.ErrUnsupported]; on memory it does nothing.
func (f *File) StartWriteback(off, n int64) error {
	const op = "writeback"
	g, running, err := f.enter()
	if err != nil {
		return f.fail(op, err)
	}
	defer f.leave(g.epoch, running)
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
	f.stores.recent.forgetRange(off+f.skew(), n)
	start := func() error { return sys.StartWriteback(f.file, f.opts.Offset+off, n) }
	return f.fail(op, f.flush.recordWritebackErr(start))
}

// inflight holds the flushes that are running, in the order they began.
type inflight struct {
	mu      sync.Mutex // guards what follows
	firsts  sync.Cond  // on mu: the flush that began first has ended
	running list.List  // of *flushOp
	begun   uint64     // flushes so far
}

// A flushOp is a running flush.
type flushOp struct {
	number uint64 // of those begun
	place  *list.Element
}

// begin adds a flush.
func (in *inflight) begin() *flushOp {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.begun++
	op := &flushOp{number: in.begun}
	op.place = in.running.PushBack(op)
	return op
}

// end removes op. If wait is set it then blocks until every flush that began
// before this point has ended. Of two flushes that wait for each other neither
// is in the list any longer.
func (in *inflight) end(op *flushOp, wait bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	wasFirst := in.running.Front() == op.place
	in.running.Remove(op.place)
	if in.firsts.L == nil {
		in.firsts.L = &in.mu
	}
	if wasFirst {
		in.firsts.Broadcast()
	}
	if !wait {
		return
	}
	for last := in.begun; ; in.firsts.Wait() {
		first := in.running.Front()
		if first == nil || first.Value.(*flushOp).number > last {
			return
		}
	}
}
