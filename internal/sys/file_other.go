//go:build !unix && !windows

package sys

import (
	"errors"
	"os"
)

func allocate(*os.File, int64, int64) error {
	return errors.ErrUnsupported
}

func allocated(*os.File) (int64, error) { return 0, errors.ErrUnsupported }

func freeSpace(*os.File) (int64, error) {
	return 0, errors.ErrUnsupported
}

func punchHole(*os.File, int64, int64) error {
	return errors.ErrUnsupported
}

func startWriteback(*os.File, int64, int64) error {
	return errors.ErrUnsupported
}

func awaitWriteback(*os.File, int64, int64) error {
	return errors.ErrUnsupported
}

func copyRange(*os.File, int64, *os.File, int64, int64) (int64, error) {
	return 0, errors.ErrUnsupported
}

// syncDir: a host that cannot sync a directory cannot promise its names.
func syncDir(d *os.File) error {
	return unwrapPath(d.Sync())
}
