package sys

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	growsUnderMap = true
	syncsReadOnly = true
	mapNoReserve  = 0
	mapStack      = 0 // MAP_STACK grows downwards here, from less than it is asked for
	madvFree      = unix.MADV_FREE
	madvPageOut   = -1
	madvDontDump  = unix.MADV_NOCORE
	madvDoDump    = unix.MADV_CORE
)

// appendUnmapped: there is no call for it.
func appendUnmapped([]Span, uintptr, Span) ([]Span, error) { return nil, errors.ErrUnsupported }

func fillHoles(f *os.File, off, n int64) error { return allocate(f, off, n) }

// allocate is posix_fallocate(2). ZFS, which copies on write, returns EINVAL.
func allocate(f *os.File, off, n int64) error {
	if CallFallocate.Missing() || unsafe.Sizeof(uintptr(0)) < 8 {
		return errors.ErrUnsupported
	}
	if off < 0 || n < 0 {
		return unix.EINVAL
	}
	if n == 0 {
		return nil
	}
	return control(f, func(fd uintptr) error {
		err := retryEINTR(func() error {
			// The error is the call's result.
			r, _, e := unix.Syscall(unix.SYS_POSIX_FALLOCATE, fd, uintptr(off), uintptr(n))
			if e == 0 {
				e = unix.Errno(r)
			}
			if e != 0 {
				return e
			}
			return nil
		})
		if err == unix.EINVAL {
			return errors.ErrUnsupported
		}
		return unsupported(err)
	})
}
