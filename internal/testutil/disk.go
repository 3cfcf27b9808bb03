package testutil

import "testing"

// LoopDisk mounts a small disk of its own for the test and returns its directory. fstype is ext4, xfs, btrfs or tmpfs;
// all but tmpfs live in an image file on a loop device. size is in bytes; where the file system wants more
// than that, it gets its least ([MinSize]). The disk is unmounted when the test ends, and by a
// watching process when this one dies. Needs Linux, root, and the file system's mkfs.
func LoopDisk(t testing.TB, size int64, fstype string) (dir string) {
	t.Helper()
	return loopDisk(t, size, fstype)
}

// MinSize is the smallest disk that mkfs makes a file system on.
func MinSize(fstype string) int64 {
	switch fstype {
	case "xfs":
		return 300 << 20
	case "btrfs":
		return 114 << 20
	case "ext4":
		return 2 << 20
	}
	return 0
}

// Cold takes the file at path out of the page cache, so that what is read next comes from the disk. Its dirty
// pages are written first; pages that are mapped stay. It skips the test where there is no such call.
func Cold(t testing.TB, path string) {
	t.Helper()
	cold(t, path)
}

// DropCaches takes everything clean out of the page cache of the whole system, after a sync. Needs Linux and
// root.
func DropCaches(t testing.TB) {
	t.Helper()
	dropCaches(t)
}
