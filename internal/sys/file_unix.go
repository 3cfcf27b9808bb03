//go:build unix

package sys

import (
	"errors"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// unsupported turns the errnos of a call that the kernel or the file system
// lacks into [errors.ErrUnsupported].
func unsupported(err error) error {
	if err == unix.EOPNOTSUPP || err == unix.ENOTSUP || err == unix.ENOSYS {
		return errors.ErrUnsupported
	}
	return err
}

// fstat describes an open file.
func fstat(f *os.File) (st unix.Stat_t, err error) {
	err = control(f, func(fd uintptr) error {
		return retryEINTR(func() error { return unix.Fstat(int(fd), &st) })
	})
	return st, err
}

func allocated(f *os.File) (int64, error) {
	st, err := fstat(f)
	return int64(st.Blocks) * 512, err
}

// space is what a file system says about its room, in units of bytes; nothing
// is known when unit is 0.
type space struct{ free, available, unit uint64 }

// freeSpace counts the blocks kept for root only where this process is root.
func freeSpace(f *os.File) (int64, error) {
	var s space
	err := control(f, func(fd uintptr) error {
		return CallStatfs.try(
			func() error {
				return retryEINTR(func() (err error) { s, err = statfs(int(fd)); return err })
			},
			func() error { _, err := statfs(-1); return err },
		)
	})
	if err != nil {
		return 0, err
	}
	return s.bytes(), nil
}

// bytes returns how many bytes this process may allocate.
func (s space) bytes() int64 {
	blocks := s.available
	if os.Geteuid() == 0 {
		blocks = s.free
	}
	if int64(blocks) < 0 && int64(blocks) > -1<<48 {
		// Where root has eaten into its reserve, some systems count below zero.
		return 0
	}
	if s.unit == 0 || blocks > math.MaxInt64/s.unit {
		return math.MaxInt64
	}
	return int64(blocks * s.unit)
}

// syncDirCall is a variable for a test that fails it.
var syncDirCall = (*os.File).Sync

// syncDir is fsync(2); file systems that sync no directories return EINVAL.
func syncDir(d *os.File) error {
	err := unwrapPath(syncDirCall(d))
	if err == unix.EINVAL {
		return errors.ErrUnsupported
	}
	return err
}
