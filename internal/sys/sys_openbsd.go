package sys

import "golang.org/x/sys/unix"

const (
	growsUnderMap = true
	syncsReadOnly = true
	mapNoReserve  = 0 // the flag does nothing here
	mapStack      = unix.MAP_STACK
	madvFree      = unix.MADV_FREE
	madvPageOut   = -1
	madvDontDump  = -1
	madvDoDump    = -1
)

func statfs(fd int) (space, error) {
	var st unix.Statfs_t
	err := unix.Fstatfs(fd, &st)
	return space{free: st.F_bfree, available: uint64(st.F_bavail), unit: uint64(st.F_bsize)}, err
}
