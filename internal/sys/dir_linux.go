package sys

import (
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// searchOnly opens a directory without the right to list it.
const searchOnly = unix.O_PATH

// syncfsCall is a variable for a test that refuses it.
var syncfsCall = unix.Syncfs

// syncAll is syncfs(2), which reports errors of writing data back since Linux
// 5.8, and those of the file system itself since 5.17.
func syncAll(f *os.File) error {
	return control(f, func(fd uintptr) error {
		return unsupported(CallSyncfs.try(
			func() error { return retryEINTR(func() error { return syncfsCall(int(fd)) }) },
			func() error { return syncfsCall(-1) },
		))
	})
}

// pathOf reads the link of the descriptor in /proc. What has no path from the
// root of the process (a file in memory, or in an unmounted file system) has a
// link that is no absolute name.
func pathOf(f *os.File) (string, error) {
	name := make([]byte, unix.PathMax)
	err := control(f, func(fd uintptr) error {
		return retryEINTR(func() error {
			n, err := unix.Readlink("/proc/self/fd/"+strconv.Itoa(int(fd)), name)
			if err == nil {
				name = name[:n]
			}
			return err
		})
	})
	if err != nil || len(name) == unix.PathMax || !filepath.IsAbs(string(name)) {
		return "", unsupported(unix.ENOTSUP)
	}
	return string(name), nil
}
