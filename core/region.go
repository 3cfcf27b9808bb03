package core

import (
	"errors"
	"sync/atomic"
	"unsafe"

	"github.com/fmmap-go/fmmap/internal/stripe"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// region is a stretch of address space that holds the window, now or earlier.
// It is unmapped when no operation and no pin uses it any longer; the protocol
// is in lifetime.go.
type region struct {
	m      *sys.Mapping // nil: heap memory
	heap   []byte       // to its capacity
	offset int64        // in the file, of base
	delta  int64        // from base to the window's first byte
	room   int64        // how long the window can become in place

	pins    []pinList   // one per P
	retired atomic.Bool // set before the lists are looked at

	epochs []*epoch  // that may still have operations running; guarded by File.mu
	few    [2]*epoch // where epochs begins: most files have no more
}

func newRegion() *region {
	r := &region{pins: stripe.Make[pinList]()}
	r.epochs = r.few[:0]
	return r
}

// base returns the address of the first byte of the stretch, nil when it is
// empty.
func (r *region) base() unsafe.Pointer {
	if r.m != nil {
		return r.m.Base()
	}
	return unsafe.Pointer(unsafe.SliceData(r.heap))
}

// size returns the length of the stretch, from base.
func (r *region) size() int64 {
	if r.m != nil {
		return r.m.Room()
	}
	return int64(cap(r.heap))
}

// window returns the window's first n bytes. The slice has no spare capacity,
// so that an append never writes into the reservation.
func (r *region) window(n int64) []byte {
	if n == 0 {
		return []byte{}
	}
	// In bounds: callers keep delta+n within size. Alive: the region is unmapped
	// only when no generation, operation or pin refers to it.
	return unsafe.Slice((*byte)(unsafe.Add(r.base(), r.delta)), n)
}

// extend makes n bytes of the window accessible, within the room.
func (r *region) extend(n int64) error {
	if r.m == nil {
		return nil
	}
	return r.m.Extend(r.delta + n)
}

// contains reports whether addr lies in the stretch, and the offset in the
// file of the byte there.
func (r *region) contains(addr uintptr) (off int64, ok bool) {
	base := uintptr(r.base())
	if base == 0 || addr < base || addr-base >= uintptr(r.size()) {
		return 0, false
	}
	return r.offset + int64(addr-base), true
}

// missingByte reports whether a page of the window's bytes [from, to) cannot
// be brought in, for a store if store is set, and the window's offset of a
// byte there. It goes through the range in order and stops after maxProbed
// bytes. The caller keeps the region mapped.
func (r *region) missingByte(from, to int64, store bool) (off int64, missing bool) {
	for to = min(to, from+maxProbed); from < to; from += probeStep {
		end := min(from+probeStep, to)
		if !errors.Is(r.m.Populate(r.delta+from, end-from, store), sys.ErrFault) {
			continue
		}
		page := sys.PageSize()
		for at := r.delta + from; at < r.delta+end; at = at/page*page + page {
			if errors.Is(r.m.Populate(at, 1, store), sys.ErrFault) {
				return at - r.delta, true
			}
		}
	}
	return 0, false
}

// probeStep is how much missingByte asks for at a time, and maxProbed how
// much in all: what it asks for is read from the device.
const (
	probeStep = 1 << 20
	maxProbed = 256 << 20
)

// pinned reports whether the region has a pin.
func (r *region) pinned() bool {
	for i := range r.pins {
		if !r.pins[i].empty() {
			return true
		}
	}
	return false
}

// idle reports whether no operation is running on an epoch other than current,
// and forgets the epochs that are idle. The caller holds File.mu.
func (r *region) idle(current *epoch) bool {
	kept := r.epochs[:0]
	idle := true
	for _, e := range r.epochs {
		switch {
		case e == current:
			kept = append(kept, e)
		case !e.idle():
			kept = append(kept, e)
			idle = false
		}
	}
	clear(r.epochs[len(kept):])
	r.epochs = kept
	return idle
}

// unmap unmaps the stretch. Heap memory is left to the garbage collector.
func (r *region) unmap() error {
	if r.m == nil {
		return nil
	}
	return r.m.Unmap()
}
