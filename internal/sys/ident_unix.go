//go:build unix

package sys

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

func identity(fd uintptr) (ID, error) {
	var st unix.Stat_t
	for {
		err := unix.Fstat(int(fd), &st)
		if err == nil {
			return ID{volume: uint64(st.Dev), file: [2]uint64{uint64(st.Ino)}}, nil
		}
		if err != unix.EINTR {
			return ID{}, err
		}
	}
}

func identityOf(info fs.FileInfo) (ID, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ID{}, false
	}
	return ID{volume: uint64(st.Dev), file: [2]uint64{uint64(st.Ino)}}, true
}
