//go:build unix

package sys

import (
	"errors"

	"golang.org/x/sys/unix"
)

// IsFault reports whether a system call refused memory that it was handed: mapped bytes
// that could not be brought in, for one.
func IsFault(err error) bool { return errors.Is(err, unix.EFAULT) }
