//go:build linux || freebsd

package sys

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// missing asks lseek(2) for holes, and then which of them have blocks.
func missing(f *os.File, off, n int64) (parts []Span, exact bool, err error) {
	err = control(f, func(fd uintptr) error {
		holes, err := seekHoles(int(fd), off, off+n)
		if err != nil || len(holes) == 0 {
			parts, exact = nil, true
			return err
		}
		parts, exact = holes, false
		if CallFiemap.Missing() {
			return nil
		}
		var left []Span
		for _, h := range holes {
			if left, err = appendUnmapped(left, fd, h); err != nil {
				return nil // this file system has only lseek
			}
		}
		parts, exact = left, true
		return nil
	})
	return parts, exact, err
}

func isHole(f *os.File, s Span) bool {
	hole := false
	_ = control(f, func(fd uintptr) error {
		holes, err := seekHoles(int(fd), s.Off, s.Off+s.Len)
		hole = err == nil && len(holes) == 1 && holes[0] == s
		return nil
	})
	return hole
}

// seekHoles returns the holes in [off, end). The position of the descriptor is
// where it was before.
func seekHoles(fd int, off, end int64) (holes []Span, err error) {
	seek := func(off int64, whence int) (at int64, err error) {
		err = retryEINTR(func() error {
			at, err = unix.Seek(fd, off, whence)
			return err
		})
		return at, err
	}
	before, err := seek(0, 1)
	if err != nil {
		return nil, unsupported(err)
	}
	defer func() { _, _ = seek(before, 0) }()
	for off < end {
		from, err := seek(off, unix.SEEK_HOLE)
		switch {
		case err == unix.ENXIO: // the file has become shorter
			return holes, nil
		case err == unix.EINVAL, errors.Is(err, errors.ErrUnsupported):
			return nil, errors.ErrUnsupported
		case err != nil:
			return nil, err
		case from >= end:
			return holes, nil
		}
		to, err := seek(from, unix.SEEK_DATA)
		if err == unix.ENXIO { // a hole up to the end of the file
			to, err = end, nil
		}
		if err != nil {
			return nil, err
		}
		if to = min(to, end); to > from {
			holes = append(holes, Span{from, to - from})
		}
		off = max(to, from+1)
	}
	return holes, nil
}
