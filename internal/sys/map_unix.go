//go:build unix

package sys

import (
	"errors"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	mapsFiles        = true
	shrinkNeedsUnmap = false
	execIsFixed      = false
)

// canReserve: a 32-bit address space is too small to keep any of it free.
const canReserve = unsafe.Sizeof(uintptr(0)) == 8 && growsUnderMap

func granularity() int64 { return pageSize() }

// retryEINTR repeats fn while signals interrupt it.
func retryEINTR(fn func() error) error {
	for {
		if err := fn(); err != unix.EINTR {
			return err
		}
	}
}

// retryTransient repeats fn while signals interrupt it, and up to 16 times while
// it returns EAGAIN, which is most often a shortage that passes. On Linux madvise
// returns it permanently once a process has as many mappings as it may have
// (vm.max_map_count).
func retryTransient(fn func() error) error {
	for try := 1; ; {
		switch err := fn(); {
		case err == unix.EINTR:
		case err == unix.EAGAIN && try < 16:
			try++
			runtime.Gosched()
		default:
			return err
		}
	}
}

// mmapCall is a variable for a test that fails it.
var mmapCall = unix.MmapPtr

func mmap(f *os.File, o MapOptions) (*Mapping, error) {
	page := o.Unit
	if page == 0 {
		page = granularityOf(f, nil)
	}
	if o.Len < 0 || o.Offset < 0 || o.Offset%page != 0 {
		return nil, unix.EINVAL
	}
	mask := page - 1
	if o.Len > maxMap-mask {
		return nil, unix.ENOMEM
	}
	need := (o.Len + mask) &^ mask
	want := need
	if canReserve && o.Reserve > o.Len {
		want = min(o.Reserve, maxMap-mask)
		want = (want + mask) &^ mask
		// An empty window that cannot have its reservation still gets an
		// address.
		need = max(need, mask+1)
	}
	if want == 0 {
		return nil, unix.EINVAL
	}
	if CallReserve.Missing() || page > pageSize() { // huge pages are set aside for all that is mapped
		want = need
	}
	m := &Mapping{size: want, file: f, offset: o.Offset, access: o.Access, page: page, usable: need, now: o.Access}
	err := m.place(o, want > need)
	if err != nil && want > need {
		// RLIMIT_AS and RLIMIT_MEMLOCK count reservations, and a file system
		// has its longest file.
		m.size = need
		err = m.place(o, false)
	}
	if err != nil {
		return nil, unmappable(f, err)
	}
	if o.Huge {
		_ = m.advise(Huge, 0, m.size)
	}
	return m, nil
}

// maxMap is the longest mapping that a Go slice can be laid over.
const maxMap = int64(^uint(0) >> 1)

// place makes the system call for size bytes and sets the base.
func (m *Mapping) place(o MapOptions, reserve bool) error {
	flags, prot := unix.MAP_SHARED, protOf(m.access)
	if m.private() {
		flags = unix.MAP_PRIVATE
		if reserve { // what is writable counts under overcommit, RLIMIT_DATA and mlockall
			prot = unix.PROT_NONE
		}
	}
	if reserve && m.page == pageSize() || o.Access == Copy {
		flags |= mapNoReserve
	}
	var err error
	if m.file == nil {
		flags |= unix.MAP_ANON
		if o.Stack {
			flags |= mapStack
		}
		err = m.mmapAt(-1, 0, prot, flags)
	} else {
		err = control(m.file, func(fd uintptr) error { return m.mmapAt(int(fd), m.offset, prot, flags) })
	}
	if err != nil || !reserve {
		return err
	}
	m.unlockReserve()
	if prot != protOf(m.access) {
		if err := unix.Mprotect(m.bytes(0, m.usable), protOf(m.access)); err != nil {
			_ = unix.MunmapPtr(m.base, uintptr(m.size))
			return err
		}
	}
	return nil
}

func (m *Mapping) mmapAt(fd int, offset int64, prot, flags int) error {
	base, err := mmapCall(fd, offset, nil, uintptr(m.size), prot, flags)
	if err != nil {
		return err
	}
	m.base = base
	return nil
}

// private reports whether stores stay in this mapping.
func (m *Mapping) private() bool { return m.file == nil || m.access == Copy }

func (m *Mapping) extend(n int64) error {
	n = min((min(n, m.size)+m.page-1)&^(m.page-1), m.size)
	more := m.bytes(m.usable, n-m.usable)
	if m.private() {
		if err := unix.Mprotect(more, protOf(m.now)); err != nil {
			return err
		}
	}
	if m.locks {
		if err := unix.Mlock(more); err != nil {
			return err
		}
	}
	m.usable = n
	return nil
}

// protOf is the kernel's name of an access.
func protOf(a Access) int {
	switch a {
	case ReadWrite, Copy:
		return unix.PROT_READ | unix.PROT_WRITE
	case ReadExec:
		return unix.PROT_READ | unix.PROT_EXEC
	default:
		return unix.PROT_READ
	}
}

func (m *Mapping) unmap() error {
	return unix.MunmapPtr(m.base, uintptr(m.size))
}

func (m *Mapping) protect(a Access) error {
	n := m.size
	if m.private() {
		n = m.usable
	}
	if err := unix.Mprotect(m.bytes(0, n), protOf(a)); err != nil {
		return err
	}
	m.now = a
	return nil
}

// msync writes the dirty pages of the range and waits for them.
func (m *Mapping) msync(off, n int64) error {
	// Of an empty range one page is taken: the call is then still made for the
	// file.
	from, length, ok := m.pageOutward(off, max(n, 1))
	if !ok {
		return unix.EINVAL
	}
	if length == 0 {
		from, length = from-m.page, m.page
	}
	b := m.bytes(from, length)
	return retryEINTR(func() error { return unix.Msync(b, unix.MS_SYNC) })
}

// refusedAdvice makes [errors.ErrUnsupported] of EINVAL, which madvise(2)
// returns for an advice that the kernel lacks or this memory cannot have: the
// range is valid, as the caller has checked. Some advice has errnos of its own
// for that (EACCES for MADV_REMOVE of private memory, EBADF), and a filter
// EPERM.
func refusedAdvice(err error) error {
	switch err {
	case unix.EINVAL, unix.EPERM, unix.EACCES, unix.EBADF:
		return errors.ErrUnsupported
	}
	return unsupported(err)
}

func (m *Mapping) lockMemory(off, n int64) error {
	from, length, ok := m.pageOutward(off, n)
	if !ok {
		return unix.EINVAL
	}
	return unix.Mlock(m.bytes(from, length))
}

func (m *Mapping) unlockMemory(off, n int64) error {
	from, length, ok := m.pageOutward(off, n)
	if !ok {
		return unix.EINVAL
	}
	return unix.Munlock(m.bytes(from, length))
}
