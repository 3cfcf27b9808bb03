package sys

import "golang.org/x/sys/unix"

const (
	growsUnderMap = true
	syncsReadOnly = true
	mapNoReserve  = unix.MAP_NORESERVE
	mapStack      = 0 // MAP_STACK grows downwards here, from less than it is asked for
	madvFree      = unix.MADV_FREE
	madvPageOut   = -1
	madvDontDump  = unix.MADV_NOCORE
	madvDoDump    = unix.MADV_CORE
)
