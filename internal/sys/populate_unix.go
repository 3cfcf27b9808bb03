//go:build unix

package sys

import (
	"sync"

	"golang.org/x/sys/unix"
)

// populateByHand does what it can where the kernel has no call for it: it reads
// the pages into the page cache inside system calls, which wait for the disk
// without the goroutine's P, gives holes their blocks when they are to be
// written, and then touches each page.
func (m *Mapping) populateByHand(off, n int64, write bool) error {
	if m.file != nil {
		if err := control(m.file, func(fd uintptr) error {
			return readThrough(int(fd), m.offset+off, n)
		}); err != nil {
			return err
		}
		if write && m.access == ReadWrite {
			if err := m.allocateUnder(off, n); err != nil {
				return err
			}
		}
	}
	return m.touch(off, n, write)
}

// chunks are the buffers of readThrough.
var chunks = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// readThrough reads the pages of [off, off+n) and forgets them. The last page
// may be partly past the end of the file; a page wholly past it is [ErrFault].
func readThrough(fd int, off, n int64) error {
	buf := chunks.Get().(*[256 << 10]byte)
	defer chunks.Put(buf)
	end, mask := off+n, pageSize()-1
	for off < end {
		got, err := unix.Pread(fd, buf[:min(end-off, int64(len(buf)))], off)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EIO:
			return ErrFault
		case err != nil:
			return err
		case got == 0:
			// The end of the file: right where it may be only inside the last
			// page.
			if off&mask == 0 || end-off > mask {
				return ErrFault
			}
			return nil
		}
		off += int64(got)
	}
	return nil
}
