package core

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// errReplaced says that the name means another file now.
var errReplaced = errors.New("the name belongs to another file now")

// Remove unlinks the file's name and makes that durable, if the name still means this file; the open
// file stays usable. The identity is compared in the directory that is then
// unlinked from, through one descriptor of it, so that renamed parents lead nowhere else. A name that is gone answers
// [fs.ErrNotExist]. One that belongs to another file or to a symbolic link, even to one that leads back to
// this file, is left alone: the error says so, and is [fs.ErrNotExist] too.
//
// Another error than these two may mean that the name is gone but not yet durably so; [SyncParent] can be asked
// again. Between the comparison and the unlinking lies one system call, in which a rename by somebody else cannot be seen: no
// Unix offers to unlink by identity. On Windows the name is deleted with POSIX semantics, by the handle whose identity
// was compared; file systems that have no such deletes (FAT, some redirectors) refuse to remove a mapped file.
func (f *File) Remove() error {
	g, s, err := f.enter()
	if err != nil {
		return f.fail("remove", err)
	}
	defer f.leave(g.epoch, s)
	if f.file == nil {
		return f.fail("remove", errNoFile)
	}
	return f.fail("remove", f.removeName())
}

// removeName is Remove, and what closing does with RemoveOnClose.
func (f *File) removeName() error {
	root := f.dir.root
	if root == nil {
		var err error
		if root, err = os.OpenRoot(filepath.Dir(f.name)); err != nil {
			return err
		}
		defer root.Close()
	}
	dir, err := root.Open(".") // first, as it may fail
	if err != nil {
		return err
	}
	defer dir.Close()
	base := filepath.Base(f.name)
	there, err := root.Lstat(base)
	if err != nil {
		return err
	}
	mine, err := f.file.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(mine, there) {
		return fmt.Errorf("%w: %w", errReplaced, fs.ErrNotExist)
	}
	if err := sys.Unlink(root, base, f.file); err != nil {
		return err
	}
	f.dir.removed.Store(true)
	return syncNames(dir)
}

// removeIfSame takes back a file that opening had made before it failed: like Remove, through one descriptor of the
// directory, and nothing when the name leads elsewhere by now. Where it failed for want of a descriptor, there is none.
func removeIfSame(name string, f *os.File) {
	mine, err := f.Stat()
	if err != nil {
		return
	}
	lstat, remove := os.Lstat, os.Remove
	if root, err := os.OpenRoot(filepath.Dir(name)); err == nil {
		defer root.Close()
		name, lstat, remove = filepath.Base(name), root.Lstat, root.Remove
	}
	if there, err := lstat(name); err == nil && os.SameFile(mine, there) {
		_ = remove(name)
	}
}
