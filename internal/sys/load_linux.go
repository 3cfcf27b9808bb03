package sys

import "golang.org/x/sys/unix"

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
