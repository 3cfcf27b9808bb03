package sys

import "sync/atomic"

// An Op names what a function of this package does, for [Inject]. The names are
// those of the system calls of Linux, on every platform.
type Op string

// The operations that a test can fail, and the functions that perform them.
const (
	OpMmap          Op = "mmap"            // Map
	OpMunmap        Op = "munmap"          // Unmap
	OpMprotect      Op = "mprotect"        // Protect, Extend
	OpMsync         Op = "msync"           // Sync
	OpMadvise       Op = "madvise"         // Advise, Populate, Discard
	OpMincore       Op = "mincore"         // Resident
	OpMlock         Op = "mlock"           // LockMemory, UnlockMemory
	OpTruncate      Op = "ftruncate"       // Truncate
	OpFallocate     Op = "fallocate"       // Allocate, FillHoles
	OpPunch         Op = "punch"           // PunchHole
	OpSyncFileRange Op = "sync_file_range" // StartWriteback, AwaitWriteback
	OpCopyFileRange Op = "copy_file_range" // CopyRange
	OpFsync         Op = "fsync"           // SyncFile
	OpFsyncDir      Op = "fsyncdir"        // Dir.Sync
	OpOpenDir       Op = "opendir"         // OpenDir
	OpSyncAll       Op = "syncfs"          // SyncAll
	OpReadlink      Op = "readlink"        // PathOf
	OpHoles         Op = "holes"           // Missing
	OpFlock         Op = "flock"           // FileLock.Set, per attempt
	OpOFD           Op = "ofd"             // FileLock.SetRange
	OpUnlink        Op = "unlink"          // Dir.Unlink
	OpStatfs        Op = "statfs"          // FreeSpace
	OpPwrite        Op = "pwrite"          // StoreAt
	OpPread         Op = "pread"           // LoadAt, LoadNow
)

// injector is what Inject has installed, nil otherwise.
var injector atomic.Pointer[func(Op) error]

// Inject makes the exported functions call h before they do anything: an error
// of h is returned instead. What one function does by several system calls is
// one operation.
//
// It is for tests and holds for the whole process. h may be called by several
// goroutines at once. The function returned restores what was installed before.
func Inject(h func(Op) error) (restore func()) {
	before := injector.Swap(&h)
	return func() { injector.Store(before) }
}

// injected returns the error that a test wants op to fail with.
func injected(op Op) error {
	if h := injector.Load(); h != nil {
		return (*h)(op)
	}
	return nil
}
