package core

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// region is a stretch of address space that holds the window, now or formerly.
// It is given back when no operation and no pin uses it any more.
type region struct {
	m      *sys.Mapping // nil: heap memory
	heap   []byte       // to its capacity
	offset int64        // in the file, of base
	delta  int64        // from base to the window's first byte
	room   int64        // how long the window can become in place

	// pins are the explicit ones, in one list per stripe.
	pins []pinList
	// watched says that somebody waits for pins of this region: a release then
	// calls settle. Set before the lists are walked, so that of a release and a
	// walk that race one sees the other.
	watched atomic.Bool
	// epochs that may still have operations running; guarded by File.mu.
	epochs []*epoch
}

// pinList holds the pins taken on one P.
type pinList struct {
	mu   sync.Mutex
	head *Pin // guarded by mu
	_    [cacheLines - 16]byte
}

// epoch counts the short operations that began on generations of one epoch. A
// change that must wait for operations supersedes the epoch and
// waits for the old one to become idle, while new operations count elsewhere.
type epoch struct {
	stripes []stripe
	// old is set before the generation that supersedes the epoch is published.
	// An operation that ends on an old epoch calls settle.
	old atomic.Bool
}

// generation is what an operation sees: immutable once it is published.
type generation struct {
	region *region
	epoch  *epoch
	data   []byte // the window, len == cap
	seq    uint64
	// readOnly forbids stores; closed forbids everything.
	readOnly, closed bool
	// gate is not nil while the bytes are being moved: wait for it, then look again.
	gate chan struct{}
}

func newEpoch() *epoch { return &epoch{stripes: make([]stripe, stripes())} }

// idle reports that every stripe was seen at zero. On an old epoch that means that no
// operation which was let in is still running: a later count above zero
// belongs to one that will find its generation superseded and touches nothing.
func (e *epoch) idle() bool {
	for i := range e.stripes {
		if e.stripes[i].n.Load() != 0 {
			return false
		}
	}
	return true
}

func newRegion() *region { return &region{pins: make([]pinList, stripes())} }

// base is the address of the first byte of the stretch, nil when it is empty.
func (r *region) base() unsafe.Pointer {
	if r.m != nil {
		return r.m.Base()
	}
	return unsafe.Pointer(unsafe.SliceData(r.heap))
}

// size is the length of the stretch from base on.
func (r *region) size() int64 {
	if r.m != nil {
		return r.m.Room()
	}
	return int64(cap(r.heap))
}

// window is the window's first n bytes. The result has no spare capacity, so that
// an append never writes into the reservation.
func (r *region) window(n int64) []byte {
	if n == 0 {
		return []byte{}
	}
	// In bounds: callers keep delta+n within size. Alive: the region is unmapped
	// only when no generation, operation or pin refers to it.
	return unsafe.Slice((*byte)(unsafe.Add(r.base(), r.delta)), n)
}

// contains tells whether addr lies in the stretch, and the file's offset there.
func (r *region) contains(addr uintptr) (off int64, ok bool) {
	base := uintptr(r.base())
	if base == 0 || addr < base || addr-base >= uintptr(r.size()) {
		return 0, false
	}
	return r.offset + int64(addr-base), true
}

// pinned reports whether a pin of the region is one that blocks says to wait for.
func (r *region) pinned(blocks func(*Pin) bool) bool {
	for i := range r.pins {
		l := &r.pins[i]
		l.mu.Lock()
		for p := l.head; p != nil; p = p.next {
			if blocks(p) {
				l.mu.Unlock()
				return true
			}
		}
		l.mu.Unlock()
	}
	return false
}

// idle reports that no operation on an epoch other than current is running, and
// forgets the epochs that have ended. Callers hold File.mu.
func (r *region) idle(current *epoch) bool {
	kept := r.epochs[:0]
	busy := false
	for _, e := range r.epochs {
		switch {
		case e == current:
			kept = append(kept, e)
		case !e.idle():
			kept = append(kept, e)
			busy = true
		}
	}
	clear(r.epochs[len(kept):])
	r.epochs = kept
	return !busy
}

// unmap gives the stretch back. Heap memory is left to the garbage collector.
func (r *region) unmap() error {
	if r.m == nil {
		return nil
	}
	return r.m.Unmap()
}

func everyPin(*Pin) bool { return true }
