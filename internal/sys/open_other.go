//go:build !unix && !windows

package sys

import "errors"

// OpenNonblock means nothing here.
const OpenNonblock = 0

// ErrNoSpace says that the disk is full.
var ErrNoSpace = errors.New("no space left on device")
