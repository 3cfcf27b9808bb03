package sys

import "sync/atomic"

// hook and absent are the test seams. They are process-wide, nil but in tests,
// and cost one atomic load each where they are asked.
var (
	hook   atomic.Pointer[func(op string) error]
	absent atomic.Pointer[map[string]bool]
)

// Inject makes every system call ask h first: an error of h is returned
// instead of making the call. The names of the operations are "mmap", "munmap",
// "mprotect", "msync", "madvise", "mincore", "mlock", "ftruncate", "fallocate", "punch",
// "sync_file_range", "copy_file_range", "fsync", "fsyncdir", "flock", "ofd", "unlink" and "statfs".
// They are the same on every platform, whatever the call is named there.
//
// It is for tests, holds for the whole process, and h may be called from many
// goroutines. The function returned puts back what was there before.
func Inject(h func(op string) error) (restore func()) {
	before := hook.Swap(&h)
	return func() { hook.Store(before) }
}

// Without makes a newer kernel call behave as if the system did not have it, so
// that a test reaches what is done instead. The features are "populate",
// "copy_file_range", "ficlone", "ofd", "sync_file_range", "fallocate" and "reserve".
//
// It is for tests and holds for the whole process; calls may be nested, and
// each restore puts back what was there before its Without.
func Without(feature string) (restore func()) {
	before := absent.Load()
	now := map[string]bool{feature: true}
	if before != nil {
		for f := range *before {
			now[f] = true
		}
	}
	absent.Store(&now)
	return func() { absent.Store(before) }
}

// injected is the error that a test wants op to fail with.
func injected(op string) error {
	if h := hook.Load(); h != nil {
		return (*h)(op)
	}
	return nil
}

// without says whether a test wants feature to be missing.
func without(feature string) bool {
	a := absent.Load()
	return a != nil && (*a)[feature]
}
