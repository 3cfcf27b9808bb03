package sys

import "errors"

// ErrPastEnd is the error of [StoreAt] for bytes that do not lie within the
// file.
var ErrPastEnd = errors.New("past the end of the file")

// CanStore reports whether [StoreAt] is right for an open file, by its
// descriptor: whether the file system is one of those on which writes and
// shared mappings were seen to show the same bytes at every moment, and whether
// the descriptor writes at the offset it is given, through the page cache and
// without waiting for the device. It is false for a process with a limit on the
// size of files, since a write beyond the limit raises a signal that ends the
// process, and on every system except Linux.
func CanStore(fd uintptr) bool { return canStore(fd) }

// StoreAt writes p at off by system calls, in which the goroutine gives its P
// away. It returns how many bytes it has written, all of them if err is nil. It
// looks at the flags of the descriptor each time, which a program that shares
// the open file can change.
//
// It extends no file that it finds too short: then the error is [ErrPastEnd].
// But the length is looked up before the write, and a process that shortens the
// file between the two finds it extended again, to off+len(p) at most.
func StoreAt(fd uintptr, p []byte, off int64) (n int, err error) {
	if err := injected(OpPwrite); err != nil {
		return 0, err
	}
	return storeAt(fd, p, off)
}

// DiskError reports whether err is one with which the file system refuses a
// store: it has no block for it, or the device failed.
func DiskError(err error) bool { return diskError(err) }

// AwaitThaw returns when the file system of an open file takes stores: it waits
// in a system call, and without a lock that other calls of the process need,
// while the file system is frozen (fsfreeze, the snapshots of a volume). It
// stores nothing. On systems without freezing it does nothing.
func AwaitThaw(fd uintptr) { awaitThaw(fd) }
