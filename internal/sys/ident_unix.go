//go:build unix

package sys

import "golang.org/x/sys/unix"

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
