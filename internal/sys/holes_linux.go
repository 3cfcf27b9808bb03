package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// fiemap is struct fiemap of linux/fiemap.h with room for extents.
type fiemap struct {
	start, length                  uint64
	flags, mapped, count, reserved uint32
	extents                        [64]fiemapExtent
}

type fiemapExtent struct {
	logical, physical, length, _, _ uint64
	flags, _, _, _                  uint32
}

const (
	fsIocFiemap      = 0xC020660B
	fiemapExtentLast = 1
)

// ioctl makes the FIEMAP call, which fills in the extents.
func (m *fiemap) ioctl(fd uintptr) error {
	return retryEINTR(func() error {
		// In bounds: the kernel writes at most count extents, for which m has
		// room. Alive: m is an argument of the call, which keeps no pointer.
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, fd, fsIocFiemap, uintptr(unsafe.Pointer(m))); e != 0 {
			return e
		}
		return nil
	})
}

// appendUnmapped appends the parts of the hole that have no blocks to parts.
// A hole of lseek(2) has blocks where they were allocated ahead.
func appendUnmapped(parts []Span, fd uintptr, hole Span) ([]Span, error) {
	end := hole.Off + hole.Len
	for at := hole.Off; at < end; {
		m := fiemap{start: uint64(at), length: uint64(end - at)}
		m.count = uint32(len(m.extents))
		err := CallFiemap.try(
			func() error { return m.ioctl(fd) },
			func() error { return m.ioctl(^uintptr(0)) },
		)
		if err != nil {
			return nil, err
		}
		last := m.mapped == 0
		for _, e := range m.extents[:m.mapped] {
			if from := min(int64(e.logical), end); from > at {
				parts = append(parts, Span{at, from - at})
			}
			at = max(at, min(int64(e.logical+e.length), end))
			last = last || e.flags&fiemapExtentLast != 0
		}
		if last {
			if at < end {
				parts = append(parts, Span{at, end - at})
			}
			return parts, nil
		}
	}
	return parts, nil
}
