//go:build unix

package sys

import "golang.org/x/sys/unix"

// OpenNonblock keeps open(2) from waiting for the other end of a pipe; it means nothing to a regular file.
const OpenNonblock = unix.O_NONBLOCK

// ErrNoSpace says that the disk is full.
const ErrNoSpace = unix.ENOSPC
