package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// canPopulate reports whether the kernel has MADV_POPULATE_READ and _WRITE
// (Linux 5.14); it finds that out once. A kernel without them returns EINVAL, a
// filter something else, and user-mode emulators report success for any advice.
// So the call is tried where it has to succeed, and where it has to fail: on a
// page that may not be written.
func canPopulate() bool {
	if CallPopulate.Missing() {
		return false
	}
	if CallPopulate.works() {
		return true
	}
	try := func(prot int) error {
		n := uintptr(pageSize())
		p, err := unix.MmapPtr(-1, 0, nil, n, prot, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return err
		}
		defer func() { _ = unix.MunmapPtr(p, n) }()
		CallPopulate.count()
		// In bounds: the mapping has n bytes. Alive: it is unmapped when try
		// returns, and b is not used after that.
		b := unsafe.Slice((*byte)(p), int(n))
		return retryTransient(func() error { return madviseCall(b, unix.MADV_POPULATE_WRITE) })
	}
	switch try(unix.PROT_READ | unix.PROT_WRITE) {
	case nil:
	case unix.ENOMEM, unix.EAGAIN:
		return false // nothing is known; the next call tries again
	default:
		_ = CallPopulate.refuse()
		return false
	}
	switch try(unix.PROT_READ) {
	case nil:
		_ = CallPopulate.refuse()
		return false
	case unix.ENOMEM, unix.EAGAIN:
		return false
	}
	working.Or(CallPopulate.bit())
	return true
}

// madviseCall is a variable for tests that watch it.
var madviseCall = unix.Madvise

// populateStep bounds one system call, for which the kernel holds the lock
// that a growing Go heap needs too.
const populateStep = 32 << 20

func (m *Mapping) populate(off, n int64, write bool) error {
	from, length, ok := m.pageOutward(off, n)
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
	if !canPopulate() {
		return m.populateByHand(off, n, write)
	}
	b := m.bytes(off, n)
	err := CallPopulate.try(
		func() error {
			return retryTransient(func() error { return madviseCall(b, advice) })
		},
		func() error { return probeMadvise(advice) },
	)
	if CallPopulate.Missing() { // a filter refuses one of the two
		return m.populateByHand(off, n, write)
	}
	switch err {
	case unix.EFAULT, unix.EHWPOISON, unix.EIO:
		return ErrFault
	}
	return err
}

// allocateUnder allocates blocks in the file for the pages of a shared mapping,
// so that a store cannot find the disk full. It never changes the file's length.
// It is no error if the system cannot do that: a full disk is then noticed when
// the pages are touched.
func (m *Mapping) allocateUnder(off, n int64) error {
	err := control(m.file, func(fd uintptr) error {
		size, err := lengthOf(int(fd))
		if err != nil {
			return err
		}
		n := min(n, size-m.offset-off)
		if n <= 0 {
			return nil
		}
		return retryEINTR(func() error {
			return tryFallocate(CallFallocate, int(fd), unix.FALLOC_FL_KEEP_SIZE, m.offset+off, n)
		})
	})
	if err == unix.ENOSPC || err == unix.EDQUOT {
		return ErrFault
	}
	return nil
}
