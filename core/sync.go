package core

import (
	"os"
	"path/filepath"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// SyncDir makes the names in a directory durable: files created in it, renamed into it and removed from it
// before the call are so after a power cut. On systems where that cannot be asked for, as on Windows, it does nothing.
func SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return pathError("sync", name, err)
	}
	defer d.Close()
	return pathError("sync", name, sys.SyncDir(d))
}

// SyncParent is [SyncDir] of the directory that a name lies in.
func SyncParent(name string) error { return SyncDir(filepath.Dir(name)) }
