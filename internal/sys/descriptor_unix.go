//go:build unix

package sys

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func duplicate(f *os.File) (*os.File, error) {
	another := -1
	err := control(f, func(fd uintptr) error {
		return retryEINTR(func() (err error) {
			// AIX has no F_DUPFD_CLOEXEC.
			syscall.ForkLock.RLock()
			defer syscall.ForkLock.RUnlock()
			if another, err = unix.FcntlInt(fd, unix.F_DUPFD, 0); err == nil {
				unix.CloseOnExec(another)
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(another), f.Name()), nil
}

func openMode(f *os.File) (mode int, err error) {
	flags := 0
	err = control(f, func(fd uintptr) (err error) {
		flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0)
		return err
	})
	switch {
	case err != nil:
		return 0, err
	case flags&pathOnly != 0:
		return 0, fs.ErrPermission
	}
	return flags & (unix.O_ACCMODE | unix.O_APPEND), nil
}

// unlinkedFile returns a file of the directory for temporary files, without its
// name. A process that is killed between the two calls leaves it behind.
func unlinkedFile() (*os.File, error) {
	f, err := os.CreateTemp("", "fmmap-")
	if err != nil {
		return nil, unwrapPath(err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, unwrapPath(err)
	}
	return f, nil
}
