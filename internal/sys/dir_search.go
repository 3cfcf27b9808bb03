//go:build darwin || freebsd

package sys

import "golang.org/x/sys/unix"

// searchOnly opens a directory without the right to list it.
const searchOnly = unix.O_SEARCH
