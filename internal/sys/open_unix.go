//go:build unix

package sys

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// OpenNonblock keeps open(2) from waiting for the other end of a pipe; it means nothing to a regular file.
const OpenNonblock = unix.O_NONBLOCK

// ErrNoSpace says that the disk is full.
const ErrNoSpace = unix.ENOSPC

func openFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}
