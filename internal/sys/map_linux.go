package sys

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	growsUnderMap = true
	mapNoReserve  = unix.MAP_NORESERVE
	mapStack      = unix.MAP_STACK
)

// granularityOf looks at the block size that stat(2) has, and only where that
// is larger than a page at the kind of file system.
func granularityOf(f *os.File, info fs.FileInfo) int64 {
	page := pageSize()
	if f == nil {
		return page
	}
	if info == nil {
		var err error
		if info, err = f.Stat(); err != nil {
			return page
		}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int64(st.Blksize) <= page {
		return page
	}
	_ = control(f, func(fd uintptr) error {
		if block := int64(st.Blksize); fileSystem(fd) == unix.HUGETLBFS_MAGIC && block&(block-1) == 0 {
			page = block
		}
		return nil
	})
	return page
}

// fileSystem is the magic number of the file system, 0 when it does not tell.
func fileSystem(fd uintptr) int64 {
	var st unix.Statfs_t
	if err := retryEINTR(func() error { return unix.Fstatfs(int(fd), &st) }); err != nil {
		return 0
	}
	return int64(uint32(st.Type))
}

// unmappable tells the errors of a file that has no mmap from other errors:
// ENODEV, and EIO where /proc has the call for some of its files.
func unmappable(f *os.File, err error) error {
	if f != nil && err == unix.EIO {
		_ = control(f, func(fd uintptr) error {
			// Where a sandbox does not tell the file system it is likely to be
			// /proc: a mapping reads nothing yet that could fail.
			if fs := fileSystem(fd); fs == unix.PROC_SUPER_MAGIC || fs == 0 {
				err = errors.ErrUnsupported
			}
			return nil
		})
	}
	if err == unix.ENODEV {
		return errors.ErrUnsupported
	}
	return unsupported(err)
}

// unlockReserve takes the reservation out of what mlockall(MCL_FUTURE) has
// locked, where RLIMIT_MEMLOCK would count it, and notes that the policy is on.
// Memory that is locked refuses MADV_DONTNEED; here it has no pages yet.
func (m *Mapping) unlockReserve() {
	rest := m.bytes(m.usable, m.size-m.usable)
	if unix.Madvise(rest[len(rest)-int(m.page):], unix.MADV_DONTNEED) == unix.EINVAL {
		m.locks = unix.Munlock(rest) == nil
	}
}

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
	from, length, _ := m.pageInward(off, n)
	if length == 0 {
		clear(m.bytes(off, n))
		return nil
	}
	clear(m.bytes(off, from-off))
	clear(m.bytes(from+length, off+n-from-length))
	inner := m.bytes(from, length)
	if err := tryMadvise(DontNeed, inner); err != nil {
		clear(inner)
	}
	return nil
}
