package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// canLoad knows the file systems that TestLoadsAreCoherent has been run on, which
// are those of canStore.
func canLoad(fd uintptr) bool {
	if !unifiedCache(fd) {
		return false
	}
	flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
	return err == nil && flags&unix.O_DIRECT == 0 && flags&unix.O_ACCMODE != unix.O_WRONLY
}

// loadStep bounds one read, which is not interrupted.
const loadStep = 4 << 20

// beforePread is a variable for tests, which make a read of n bytes shorter or
// fail. It is not given the bytes, or those of every caller would escape.
var beforePread = func(n int) (int, error) { return n, nil }

func loadAt(fd uintptr, p []byte, off int64) (n int, err error) {
	for n < len(p) {
		step := min(len(p)-n, loadStep)
		got, err := beforePread(step)
		if err == nil {
			got, err = unix.Pread(int(fd), p[n:n+got], off+int64(n))
		}
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, err
		case got == 0:
			return n, nil
		default:
			n += got
		}
	}
	return n, nil
}

func loadNow(fd uintptr, p []byte, off int64) (n int, left bool, err error) {
	if len(p) == 0 {
		return 0, false, nil
	}
	err = CallReadNowait.try(
		func() (err error) {
			n, err = preadNowait(fd, p, off)
			return err
		},
		func() error {
			_, err := preadNowait(^uintptr(0), p, off)
			return err
		},
	)
	switch {
	case err == nil:
		// Linux 5.9 and 5.10 may return 0 before the end of the file: readv(2), BUGS.
		return n, n < len(p), nil
	case err == unix.EAGAIN, err == unix.EINTR, refusal(err):
		return 0, true, nil
	}
	return 0, false, err
}

// preadNowait is preadv2(2) with RWF_NOWAIT into one buffer, which does not escape,
// as it would from the function of package unix.
func preadNowait(fd uintptr, p []byte, off int64) (int, error) {
	v := unix.Iovec{Base: unsafe.SliceData(p)}
	v.SetLen(len(p))
	// The kernel takes the offset in two halves, of which the lower one is all of
	// it where a register has 64 bits.
	n, _, errno := unix.Syscall6(unix.SYS_PREADV2, fd, uintptr(unsafe.Pointer(&v)), 1,
		uintptr(off), uintptr(uint64(off)>>32), unix.RWF_NOWAIT)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
