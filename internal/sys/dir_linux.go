package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// searchOnly opens a directory without the right to list it.
const searchOnly = unix.O_PATH

// syncAll is syncfs(2), which reports errors since Linux 5.8.
func syncAll(f *os.File) error {
	return control(f, func(fd uintptr) error {
		return unsupported(retryEINTR(func() error { return unix.Syncfs(int(fd)) }))
	})
}
