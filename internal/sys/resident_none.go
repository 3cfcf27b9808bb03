//go:build unix && !darwin && !dragonfly && !freebsd && !linux && !netbsd

package sys

import (
	"errors"

	"golang.org/x/sys/unix"
)

func residentAtOnce() bool { return false }

func (m *Mapping) resident(off, n int64) (pages, of int64, err error) {
	if _, _, ok := m.pageOutward(off, n); !ok {
		return 0, 0, unix.EINVAL
	}
	return 0, 0, errors.ErrUnsupported
}
