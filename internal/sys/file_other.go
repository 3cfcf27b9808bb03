//go:build !unix && !windows

package sys

import (
	"errors"
	"os"
)

func allocate(*os.File, int64, int64) error {
	if err := injected("fallocate"); err != nil {
		return err
	}
	return errors.ErrUnsupported
}

func allocated(*os.File) (int64, error) { return 0, errors.ErrUnsupported }

func freeSpace(*os.File) (int64, error) {
	if err := injected("statfs"); err != nil {
		return 0, err
	}
	return 0, errors.ErrUnsupported
}

func punchHole(*os.File, int64, int64) error {
	if err := injected("punch"); err != nil {
		return err
	}
	return errors.ErrUnsupported
}

func startWriteback(*os.File, int64, int64) error {
	if err := injected("sync_file_range"); err != nil {
		return err
	}
	return errors.ErrUnsupported
}

func awaitWriteback(*os.File, int64, int64) error {
	if err := injected("sync_file_range"); err != nil {
		return err
	}
	return errors.ErrUnsupported
}

func copyRange(*os.File, int64, *os.File, int64, int64) (int64, error) {
	if err := injected("copy_file_range"); err != nil {
		return 0, err
	}
	return 0, errors.ErrUnsupported
}

// syncDir: a host that cannot sync a directory cannot promise its names.
func syncDir(d *os.File) error {
	if err := injected("fsyncdir"); err != nil {
		return err
	}
	return bare(d.Sync())
}
