//go:build unix

package sys

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// OpenNonblock keeps open(2) from waiting for the other end of a pipe; it means
// nothing to a regular file.
const OpenNonblock = unix.O_NONBLOCK

// ErrNoSpace is the error of a full disk.
const ErrNoSpace = unix.ENOSPC

// openFile waits where another process holds a lease on the file, as an open
// without O_NONBLOCK does: the holder, or the kernel after a time, gives it up.
func openFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if flag&OpenNonblock != 0 && errors.Is(err, unix.EAGAIN) {
		if fi, serr := os.Stat(name); serr == nil && fi.Mode().IsRegular() {
			return os.OpenFile(name, flag&^OpenNonblock, perm)
		}
	}
	return f, err
}
