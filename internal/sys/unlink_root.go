//go:build !windows

package sys

import "os"

func unlink(dir *os.Root, name string, _ *os.File) error {
	if err := injected("unlink"); err != nil {
		return err
	}
	return dir.Remove(name)
}
