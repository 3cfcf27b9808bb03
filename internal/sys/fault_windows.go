package sys

import (
	"errors"

	"golang.org/x/sys/windows"
)

// IsFault reports whether a system call refused memory that it was handed: mapped bytes
// that could not be brought in, for one.
func IsFault(err error) bool {
	return errors.Is(err, windows.ERROR_NOACCESS) || errors.Is(err, windows.ERROR_SWAPERROR) || errors.Is(err, windows.ERROR_INVALID_USER_BUFFER)
}
