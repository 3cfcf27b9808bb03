package sys

import "golang.org/x/sys/unix"

const (
	growsUnderMap = true
	syncsReadOnly = true
	mapNoReserve  = unix.MAP_NORESERVE
	mapStack      = unix.MAP_STACK
	madvFree      = unix.MADV_FREE
	madvPageOut   = -1
	madvDontDump  = -1
	madvDoDump    = -1
)
