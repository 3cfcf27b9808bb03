package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pathOnly is the flag of a descriptor that is only a place in the tree.
const pathOnly = unix.O_PATH

func deviceSize(f *os.File) (int64, error) {
	var size uint64
	err := control(f, func(fd uintptr) error {
		// In bounds and alive: size is a local of the 8 bytes that this call stores.
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.BLKGETSIZE64, uintptr(unsafe.Pointer(&size)))
		if errno == unix.ENOTTY || errno == unix.EINVAL {
			return unsupported(unix.ENOTSUP)
		}
		if errno != 0 {
			return errno
		}
		return nil
	})
	return int64(size), err
}

// newShared falls back to a file where a sandbox refuses memfd_create.
func newShared(name string) (*os.File, error) {
	const longest = 249 // bytes of a name that the kernel accepts
	fd, err := unix.MemfdCreate(name[:min(len(name), longest)], unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	switch err {
	case nil:
		return os.NewFile(uintptr(fd), name), nil
	case unix.ENOSYS, unix.EPERM, unix.EACCES:
		return unlinkedFile()
	}
	return nil, err
}
