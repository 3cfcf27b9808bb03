package core

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/fmmap-go/fmmap/internal/sys"
)

var errNotDir = fmt.Errorf("not a directory: %w", fs.ErrInvalid)

// SyncDir makes the names in a directory durable: what was created in it,
// renamed into it or removed from it before the call survives a power cut. It
// returns [fs.ErrInvalid] for a name that is not a directory and
// [errors.ErrUnsupported] on a file system that does not sync directories. On
// Windows there is nothing to do: NTFS has a journal for its names.
func SyncDir(name string) error {
	const op = "sync"
	d, err := sys.OpenDir(name)
	if err != nil {
		if fi, serr := os.Stat(name); serr == nil && !fi.IsDir() {
			err = errNotDir
		}
		return pathError(op, name, err)
	}
	defer d.Close()
	return pathError(op, name, d.Sync())
}

// SyncParent is [SyncDir] of the directory that a name lies in.
func SyncParent(name string) error {
	dir, _ := splitName(name)
	return SyncDir(dir)
}

// syncNames makes the names in a directory durable, as far as its file system
// offers that. Of a directory that may not be listed, which cannot be synced, the
// whole file system is, if the system has a call for it: f is a file there.
func syncNames(d *sys.Dir, f *os.File) error {
	var err error
	if d.Listable() {
		err = d.Sync()
	} else if err = sys.SyncAll(f); errors.Is(err, errors.ErrUnsupported) {
		return fs.ErrPermission
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}
