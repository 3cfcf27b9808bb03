package sys

import "golang.org/x/sys/unix"

const (
	growsUnderMap = true
	syncsReadOnly = true
	mapNoReserve  = unix.MAP_NORESERVE
	mapStack      = 0
	madvFree      = unix.MADV_FREE
	madvPageOut   = -1
	madvDontDump  = -1
	madvDoDump    = -1
)
