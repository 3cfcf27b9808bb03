//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || solaris || windows)

package sys

import "errors"

// lockWhole: AIX has POSIX locks alone, which belong to the process and vanish when any
// descriptor of the file is closed; the others have none.
func (l *FileLock) lockWhole(uintptr) error { return errors.ErrUnsupported }
