//go:build !unix && !windows

package sys

import (
	"errors"
	"io/fs"
	"os"
)

// OpenNonblock means nothing here.
const OpenNonblock = 0

// ErrNoSpace is the error of a full disk.
var ErrNoSpace = errors.New("no space left on device")

func openFile(name string, _ int, _ fs.FileMode) (*os.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: errors.ErrUnsupported}
}
