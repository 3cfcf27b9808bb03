package sys

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// control calls fn with the descriptor of f, which cannot be closed, and so
// cannot be another file's, while fn runs. A closed file is [fs.ErrClosed].
func control(f *os.File, fn func(fd uintptr) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return unwrapPath(err)
	}
	var inner error
	if err := c.Control(func(fd uintptr) { inner = fn(fd) }); err != nil {
		// Control fails for one reason: the file has been closed.
		return fs.ErrClosed
	}
	return inner
}

// unwrapPath takes the path off an error of package os: callers put their own on.
func unwrapPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Getwd returns the working directory by a name from the root without symbolic
// links, which costs one system call on most systems; [os.Getwd] prefers $PWD,
// which it has to check.
func Getwd() (string, error) {
	if wd, err := syscall.Getwd(); err == nil {
		return wd, nil
	}
	return os.Getwd()
}

func truncate(f *os.File, size int64) error {
	if size < 0 { // which node takes for 0
		return syscall.EINVAL
	}
	return unwrapPath(f.Truncate(size))
}

func syncFile(f *os.File) error {
	return unwrapPath(f.Sync())
}

func pageSize() int64 { return int64(os.Getpagesize()) }
