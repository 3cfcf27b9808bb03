package sys

// CanLoad reports whether [LoadAt] is right for an open file, by its descriptor:
// whether the file system is one of those on which reads and shared mappings
// were seen to show the same bytes at every moment, and whether the descriptor
// reads through the page cache. It is false on every system except Linux.
func CanLoad(fd uintptr) bool { return canLoad(fd) }

// LoadAt reads bytes at off into p by system calls, in which the goroutine gives
// its P away. It returns how many it has read: fewer than len(p), and no error,
// where the file ends before.
func LoadAt(fd uintptr, p []byte, off int64) (n int, err error) {
	if err := injected(OpPread); err != nil {
		return 0, err
	}
	return loadAt(fd, p, off)
}

// LoadNow is LoadAt for what is in memory. It reports as left whether it has read
// less than p, which LoadAt may read still. Of that it may have begun to read some
// from the device. off is not negative.
func LoadNow(fd uintptr, p []byte, off int64) (n int, left bool, err error) {
	if err := injected(OpPread); err != nil {
		return 0, false, err
	}
	return loadNow(fd, p, off)
}
