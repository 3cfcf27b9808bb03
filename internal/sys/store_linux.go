package sys

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// unifiedCache knows the file systems that TestStoresAreCoherent and
// TestLoadsAreCoherent have been run on. Not among them are overlayfs, which maps
// another file than it writes, network file systems, FUSE, and ZFS, whose cache
// of writes is another than that of mappings.
func unifiedCache(fd uintptr) bool {
	switch fileSystem(fd) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
		return true
	}
	return false
}

func canStore(fd uintptr) bool {
	if !unifiedCache(fd) || !storesInPlace(fd) {
		return false
	}
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit)
	return err == nil && limit.Cur == unix.RLIM_INFINITY
}

// storesInPlace reports whether a write through the descriptor goes to its
// offset, into the page cache, and does not wait for the device.
func storesInPlace(fd uintptr) bool {
	// O_SYNC includes the bit of O_DSYNC.
	const unfit = unix.O_APPEND | unix.O_DIRECT | unix.O_SYNC
	flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
	return err == nil && flags&unfit == 0 && flags&unix.O_ACCMODE == unix.O_RDWR
}

// storeStep bounds one write. The kernel holds the file's lock for it, which
// other stores wait for.
const storeStep = 4 << 20

// beforePwrite is a variable for tests, which make a write of n bytes shorter or
// fail. It is not given the bytes, or those of every caller would escape.
var beforePwrite = func(n int) (int, error) { return n, nil }

func storeAt(fd uintptr, p []byte, off int64) (n int, err error) {
	if !storesInPlace(fd) {
		return 0, errors.ErrUnsupported
	}
	for n < len(p) {
		size, err := lengthOf(int(fd))
		if err != nil {
			return n, err
		}
		step := p[n:min(len(p), n+storeStep)]
		if size < off+int64(n+len(step)) {
			return n, ErrPastEnd
		}
		fits, err := beforePwrite(len(step))
		if err == nil {
			fits, err = unix.Pwrite(int(fd), step[:fits], off+int64(n))
		}
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, err
		case fits == 0:
			return n, io.ErrShortWrite
		default:
			n += fits
		}
	}
	return n, nil
}

func diskError(err error) bool {
	return err == unix.ENOSPC || err == unix.EDQUOT || err == unix.EIO
}

// awaitThaw writes no bytes, for which the kernel waits until the file system
// takes writes and then does nothing: no time of the file changes.
func awaitThaw(fd uintptr) {
	_, _ = unix.Pwrite(int(fd), nil, 0)
}
