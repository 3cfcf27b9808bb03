package sys

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// canPopulate finds out once whether the kernel has MADV_POPULATE_READ and _WRITE (Linux
// 5.14). The EINVAL of a kernel without them means other things as well, and user-mode
// emulators answer success to any advice: so it is tried, and its effect looked at.
var canPopulate = sync.OnceValue(func() bool {
	n := uintptr(pageSize())
	p, err := unix.MmapPtr(-1, 0, nil, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return false
	}
	defer func() { _ = unix.MunmapPtr(p, n) }()
	if unix.Madvise(unsafe.Slice((*byte)(p), int(n)), unix.MADV_POPULATE_WRITE) != nil {
		return false
	}
	var v byte
	return mincore(p, n, &v) == nil && v&1 == 1
})

// populateStep bounds one system call, for which the kernel holds the lock
// that a growing Go heap needs too.
const populateStep = 32 << 20

func (m *Mapping) populate(off, n int64, write bool) error {
	from, length, ok := m.outward(off, n)
	if !ok {
		return unix.EINVAL
	}
	if n == 0 {
		return nil
	}
	if write && m.access != ReadWrite && m.access != Copy {
		return unix.EACCES
	}
	advice := unix.MADV_POPULATE_READ
	if write {
		advice = unix.MADV_POPULATE_WRITE
	}
	for end := from + length; from < end; from += populateStep {
		if err := m.populateSome(from, min(end-from, populateStep), write, advice); err != nil {
			return err
		}
	}
	return nil
}

// populateSome populates whole pages.
func (m *Mapping) populateSome(off, n int64, write bool, advice int) error {
	if CallPopulate.missing() || !canPopulate() {
		return m.populateByHand(off, n, write)
	}
	b := m.bytes(off, n)
	err := insisting(func() error { return unix.Madvise(b, advice) })
	switch err {
	case unix.EFAULT, unix.EHWPOISON, unix.EIO:
		return ErrFault
	}
	return err
}

// allocateUnder gives the pages of a shared mapping blocks in the file, so that a
// store cannot find the disk full. It never changes the file's length. That it
// cannot be had is no error: touching the pages finds out.
func (m *Mapping) allocateUnder(off, n int64) error {
	if CallFallocate.missing() {
		return nil
	}
	err := withFd(m.file, func(fd uintptr) error {
		var st unix.Stat_t
		if err := unix.Fstat(int(fd), &st); err != nil {
			return err
		}
		n := min(n, st.Size-m.offset-off)
		if n <= 0 {
			return nil
		}
		return ignoringEINTR(func() error {
			return unix.Fallocate(int(fd), unix.FALLOC_FL_KEEP_SIZE, m.offset+off, n)
		})
	})
	if err == unix.ENOSPC || err == unix.EDQUOT {
		return ErrFault
	}
	return nil
}
