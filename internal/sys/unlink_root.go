//go:build !unix && !windows

package sys

import "os"

func unlink(dir *os.Root, name string, _ *os.File) error { return dir.Remove(name) }
