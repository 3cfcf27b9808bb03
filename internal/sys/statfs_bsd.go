//go:build aix || darwin || dragonfly || freebsd

package sys

import "golang.org/x/sys/unix"

func statfs(fd int) (space, error) {
	var st unix.Statfs_t
	err := unix.Fstatfs(fd, &st)
	return space{free: uint64(st.Bfree), available: uint64(st.Bavail), unit: uint64(st.Bsize)}, err
}
