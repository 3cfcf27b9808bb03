//go:build !unix && !windows

package sys

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"unsafe"
)

// Without memory mapping there is still anonymous memory: it comes from the
// heap, where the mapping's base keeps it alive.

const (
	mapsFiles        = false
	canReserve       = false
	shrinkNeedsUnmap = false
	execIsFixed      = true
)

func granularity() int64 { return pageSize() }

func granularityOf(*os.File, fs.FileInfo) int64 { return granularity() }

// extend has nothing to do: no address space is reserved here.
func (m *Mapping) extend(int64) error { return nil }

var errInvalid = os.ErrInvalid

func mmap(f *os.File, o MapOptions) (*Mapping, error) {
	if o.Len <= 0 || o.Offset < 0 {
		return nil, errInvalid
	}
	if f != nil || o.Access == ReadExec {
		return nil, errors.ErrUnsupported
	}
	if o.Len > math.MaxInt32 {
		return nil, errors.ErrUnsupported
	}
	page := pageSize()
	b := make([]byte, o.Len+page-1)
	base := unsafe.Pointer(unsafe.SliceData(b))
	// In bounds: the first whole page begins at most page-1 bytes on, and Len
	// bytes follow it. Alive: the base points into b.
	skip := -int64(uintptr(base)) & (page - 1)
	return &Mapping{base: unsafe.Add(base, skip), size: o.Len, access: o.Access, page: page, usable: o.Len}, nil
}

func (m *Mapping) unmap() error {
	m.base = nil
	return nil
}

// protect cannot prevent a store: the heap is writable, and no memory is
// executable.
func (m *Mapping) protect(a Access) error {
	if a == ReadExec {
		return errors.ErrUnsupported
	}
	return nil
}

func (m *Mapping) sync(int64, int64) error { return nil }

func (m *Mapping) advise(a Advice, off, n int64) error {
	if a == PopulateRead || a == PopulateWrite {
		return m.populate(off, n, a == PopulateWrite)
	}
	return errors.ErrUnsupported
}

func residentAtOnce() bool { return false }

func (m *Mapping) resident(off, n int64) (pages, of int64, err error) {
	return 0, 0, errors.ErrUnsupported
}

// populate has nothing to do: this package does not know when memory of the heap
// has been swapped out.
func (m *Mapping) populate(off, n int64, write bool) error {
	if _, _, ok := m.pageOutward(off, n); !ok {
		return errInvalid
	}
	return nil
}

func (m *Mapping) lockMemory(int64, int64) error {
	return errors.ErrUnsupported
}

func (m *Mapping) unlockMemory(int64, int64) error {
	return errors.ErrUnsupported
}

func (m *Mapping) discard(off, n int64) error {
	if off < 0 || n < 0 || off > m.size {
		return errInvalid
	}
	clear(m.bytes(off, min(n, m.size-off)))
	return nil
}
