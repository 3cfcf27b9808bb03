package sys

const (
	growsUnderMap = false // not documented: a mapping is as long as the file was
	syncsReadOnly = false // fsync(2) wants a descriptor open for writing
	mapNoReserve  = 0
	mapStack      = 0
	madvFree      = -1
	madvPageOut   = -1
	madvDontDump  = -1
	madvDoDump    = -1
)
