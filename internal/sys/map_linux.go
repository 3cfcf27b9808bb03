package sys

import (
	"golang.org/x/sys/unix"
)

const (
	growsUnderMap = true
	mapNoReserve  = unix.MAP_NORESERVE
	mapStack      = unix.MAP_STACK
)

// sync is msync(2): on Linux it is fdatasync of the range for a shared mapping,
// drive cache and file length included, and needs no descriptor.
func (m *Mapping) sync(off, n int64) error {
	if m.file == nil || m.access == Copy {
		return nil
	}
	return m.msync(off, n)
}

// discard relies on MADV_DONTNEED giving fresh zero pages to private anonymous
// memory; locked pages refuse it and are cleared instead.
func (m *Mapping) discard(off, n int64) error {
	if m.file != nil || off < 0 || n < 0 || off > m.size {
		return unix.EINVAL
	}
	n = min(n, m.size-off)
	from, length, _ := m.inward(off, n)
	if length == 0 {
		clear(m.bytes(off, n))
		return nil
	}
	clear(m.bytes(off, from-off))
	clear(m.bytes(from+length, off+n-from-length))
	inner := m.bytes(from, length)
	if err := unix.Madvise(inner, unix.MADV_DONTNEED); err != nil {
		clear(inner)
	}
	return nil
}
