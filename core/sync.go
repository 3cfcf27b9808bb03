package core

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fmmap-go/fmmap/internal/sys"
)

var errNotDir = fmt.Errorf("not a directory: %w", fs.ErrInvalid)

// SyncDir makes the names in a directory durable: what was created in it, renamed into it or removed from it
// before the call is so after a power cut. A name that is not a directory answers [fs.ErrInvalid], and
// a file system that syncs no directories [errors.ErrUnsupported]. On Windows there is nothing to do: NTFS has
// a journal for its names.
func SyncDir(name string) error {
	const op = "sync"
	d, err := os.OpenFile(name, os.O_RDONLY|sys.OpenNonblock, 0)
	if err != nil {
		return pathError(op, name, err)
	}
	defer d.Close()
	fi, err := d.Stat()
	switch {
	case err != nil:
		return pathError(op, name, err)
	case !fi.IsDir(): // which fsync would not mind
		return pathError(op, name, errNotDir)
	}
	return pathError(op, name, sys.SyncDir(d))
}

// SyncParent is [SyncDir] of the directory that a name lies in.
func SyncParent(name string) error { return SyncDir(filepath.Dir(name)) }

// syncNames makes the names in an opened directory durable, as far as its file system
// offers that: of one that does not, nothing more can be had.
func syncNames(d *os.File) error {
	if err := sys.SyncDir(d); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
