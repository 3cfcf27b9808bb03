//go:build !unix && !windows

package sys

import (
	"errors"
	"io/fs"
	"os"
)

// OpenNonblock means nothing here.
const OpenNonblock = 0

// ErrNoSpace says that the disk is full.
var ErrNoSpace = errors.New("no space left on device")

func openFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}
