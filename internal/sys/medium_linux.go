package sys

import "golang.org/x/sys/unix"

// readDepth returns the Depth and the MaxDepth of a medium. A FUSE connection
// takes 12 requests in the background by default and makes the reader wait for the
// next one; the process that serves it may have asked for more
// (https://docs.kernel.org/filesystems/fuse/fuse.html). 9P reads ahead in its caller.
// The queue of a block device holds 64 or more.
func readDepth(fd uintptr) (depth, most int) {
	switch fileSystem(fd) {
	case unix.FUSE_SUPER_MAGIC:
		return 8, defaultDepth
	case unix.V9FS_MAGIC:
		return 0, 0
	}
	return defaultDepth, defaultDepth
}
