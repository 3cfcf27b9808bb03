package core

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/fmmap-go/fmmap/internal/bounds"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// How copying stores reach a file.
//
// A store through the map costs nothing where the page is writable in this
// process already. Elsewhere it is a page fault, in which the goroutine holds
// its P: for as long as the file system is frozen, say, during which the garbage
// collector waits as well. And the kernel takes the whole folio for dirty, which
// is up to some MiB where the file was written or read ahead in large pieces: a
// flush of 64 bytes then writes all of that.
//
// A write by system call does neither. So a page is stored to by system calls
// at first, and through the map from its hotAfter-th store since its last flush
// on, before which a system call makes it writable. Counters and records that
// are put again and again cost what they cost in memory, and the folio is
// written for the sake of many stores rather than of one.
//
//	flush ──▶ 1st … 31st store: pwrite ──▶ 32nd: populate, copy ──▶ copy … ──▶ flush
//
// A page that this File has written ahead is a folio of its own, until it is evicted.
// There the second store goes through the map.
//
// A write by system call would lengthen a file that another process has made
// shorter, where a store through the map faults. sys.StoreAt looks at the length
// first, but not in one step. So this is done, unless the options ask for it,
// only while the file holds its exclusive lock: processes that respect that do
// not change the length. Whatever sys.StoreAt refuses goes through the map, and
// behaves as it always has; only when the file system has no block or the
// device fails, its error becomes a *FaultError, as the fault would have.

// Via is a way to the bytes of a file, for [Options].Stores and [Options].Reads.
type Via uint8

const (
	// ViaEither leaves the choice to the library.
	ViaEither Via = iota
	// ViaMap is through the mapping alone.
	ViaMap
	// ViaCall is by system calls, wherever they and the mapping are known to
	// show the same bytes. Elsewhere stores are through the mapping, and reads
	// from it when a system call has brought the pages in.
	ViaCall
)

// String returns "either", "map" or "call".
func (v Via) String() string {
	switch v {
	case ViaEither:
		return "either"
	case ViaMap:
		return "map"
	case ViaCall:
		return "call"
	}
	return "unknown way"
}

// storeState is what is known of the stores to a file.
type storeState struct {
	decided atomic.Uint32  // undecided, byMap or byCall
	fd      atomic.Uintptr // set once byCall is decided; open as long as an operation or a pin is counted
	recent  recent
}

const (
	undecided = iota
	byMap
	byCall
)

// storesByCall reports whether stores to pages that are not hot are to be
// system calls. It finds that out once.
func (f *File) storesByCall() bool {
	switch f.stores.decided.Load() {
	case byCall:
		return true
	case byMap:
		return false
	}
	held := f.lock != nil // exclusively, as for every ReadWrite
	if f.file != nil && !f.device && f.access == ReadWrite && f.opts.Stores != ViaMap && (held || f.opts.Stores == ViaCall) {
		fd := f.Fd()
		f.stores.fd.Store(fd)
		if sys.CanStore(fd) {
			f.stores.decided.Store(byCall)
			return true
		}
	}
	f.stores.decided.Store(byMap)
	return false
}

// inPlace reports whether n bytes at off of the window are to be stored through
// the map.
func (f *File) inPlace(off, n int64) bool {
	return f.stores.decided.Load() == byMap || f.stores.recent.hot(off+f.skew(), n)
}

// skew is what added to an offset in the window makes one in pages of the file.
func (f *File) skew() int64 { return f.opts.Offset % storeUnit }

// store stores p at off of the window of g, within which it lies. The caller
// has begun a use of g, and so is guarded.
func (f *File) store(op string, g *generation, p []byte, off int64) (int, error) {
	if f.inPlace(off, int64(len(p))) {
		return copy(g.data[off:], p), nil
	}
	n, err := f.storeCold(g.region, p, off)
	if err != nil {
		return n, f.fail(op, err)
	}
	return n + copy(g.data[off+int64(n):], p[n:]), nil
}

// storeCold stores p at off of the window by system calls, if that is right, or
// makes its pages writable if they are hot from now on. It returns how many
// bytes it has stored. The caller copies the others.
func (f *File) storeCold(r *region, p []byte, off int64) (n int, err error) {
	if len(p) == 0 || !f.storesByCall() {
		return 0, nil
	}
	// A write takes its bytes in order and would meet some that it has stored
	// itself, if they overlap. A copy minds that.
	if _, own := r.contains(uintptr(unsafe.Pointer(unsafe.SliceData(p)))); own {
		return 0, nil
	}
	if f.stores.recent.count(off+f.skew(), int64(len(p))) {
		return 0, f.makeWritable(r, off, int64(len(p)))
	}
	return f.storeByCall(p, off)
}

// storeByCall stores p at off of the window by system calls, as far as they are
// not refused. Its error is a *FaultError.
func (f *File) storeByCall(p []byte, off int64) (n int, err error) {
	n, err = sys.StoreAt(f.stores.fd.Load(), p, f.opts.Offset+off)
	if err != nil && sys.DiskError(err) {
		return n, &FaultError{Offset: f.opts.Offset + off + int64(n), Err: err}
	}
	return n, nil
}

// TryWriteAt is WriteAt if that waits for nothing: if the pages were made
// writable for this process at most 0.1 s ago, by a store like this one or by
// [File.WriteAtCall], and have not been flushed since. Otherwise it stores
// nothing and reports false.
func (f *File) TryWriteAt(p []byte, off int64) (ok bool, err error) {
	u, err := f.begin(true)
	if err != nil {
		return false, f.fail("write", err)
	}
	defer f.end("write", &u, &err)
	n := int64(len(p))
	switch {
	case !bounds.Within(off, n, int64(len(u.g.data))):
		return false, f.fail("write", ErrRange)
	case n > 0 && u.g.region.heap == nil && !f.stores.recent.fresh(off+f.skew(), n):
		return false, nil
	}
	copy(u.g.data[off:], p)
	return true, nil
}

// WriteAtCall is [File.WriteAt] that waits in system calls alone, in which the
// goroutine gives its P away, and never in a page fault: what it stores through
// the map is made writable before. That takes longer than a store to a page that
// is writable, and holds on every system that has the call, in every file
// system, and for a file that WriteAt stores to through the map alone.
func (f *File) WriteAtCall(p []byte, off int64) (n int, err error) {
	u, err := f.begin(true)
	if err != nil {
		return 0, f.fail("write", err)
	}
	defer f.end("write", &u, &err)
	if !bounds.Within(off, int64(len(p)), int64(len(u.g.data))) {
		return 0, f.fail("write", ErrRange)
	}
	r := u.g.region
	if len(p) == 0 || r.m == nil {
		return copy(u.g.data[off:], p), nil
	}
	stored := 0
	if !f.stores.recent.hot(off+f.skew(), int64(len(p))) {
		if stored, err = f.storeCold(r, p, off); err != nil {
			return stored, f.fail("write", err)
		}
	}
	if rest := int64(len(p) - stored); rest > 0 && !f.stores.recent.fresh(off+f.skew()+int64(stored), rest) {
		at := off + int64(stored)
		if err := f.makeWritable(r, at, rest); err != nil {
			return stored, f.fail("write", err)
		}
	}
	// n is set only after the copy: a fault reports no bytes.
	copy(u.g.data[off+int64(stored):], p[stored:])
	return len(p), nil
}

// makeWritable makes the pages of [off, off+n) writable within system calls. It
// returns the fault that a store would have met. Any other error leaves it to
// the store.
func (f *File) makeWritable(r *region, off, n int64) error {
	if f.file != nil {
		// While the file system is frozen, Populate would wait with a lock that
		// every call needs which maps memory, as that of a growing heap.
		sys.AwaitThaw(f.Fd())
	}
	err := r.m.Populate(r.delta+off, n, true)
	if err == nil {
		f.stores.recent.mark(off+f.skew(), n)
		return nil
	}
	if fault, ok := r.fault(err, off).(*FaultError); ok {
		return fault
	}
	return nil
}

// zeros are stored where a range is cleared by system calls.
var zeros [64 << 10]byte

// scratch holds values on their way to a system call.
var scratch = sync.Pool{New: func() any { return new([4 << 10]byte) }}
