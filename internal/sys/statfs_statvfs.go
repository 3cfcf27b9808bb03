//go:build netbsd || solaris

package sys

import "golang.org/x/sys/unix"

func statfs(fd int) (space, error) {
	var st unix.Statvfs_t
	err := unix.Fstatvfs(fd, &st)
	return space{free: uint64(st.Bfree), available: uint64(st.Bavail), unit: uint64(st.Frsize)}, err
}
