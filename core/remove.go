package core

import (
	"errors"
	"io/fs"
	"os"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// errReplaced reports that the name means another file now.
var errReplaced = errors.New("the name belongs to another file now")

// Remove unlinks the file's name and makes that durable, if the name still
// means this file; the open file stays usable. A relative name is the one that
// was opened, whatever directory the process has changed to. With
// [Options].RemoveOnClose the directory is known even if it has been moved; one
// that cannot be found again (the process has changed its root) is an error.
// Where no name is known, see [Map], Remove is [errors.ErrUnsupported].
//
// The identity is compared in the directory that is then unlinked from, through
// one descriptor of it, so that renamed parents lead nowhere else. A name that
// is gone returns [fs.ErrNotExist]. One that belongs to another file or to a
// symbolic link, even to one that leads back to this file, is left alone: the
// error is [fs.ErrNotExist] too, with a text of its own.
//
// Any other error may mean that the name is gone but not yet durably so;
// [SyncParent] can be called again. Between the comparison and the unlinking
// lies one system call, in which a rename by another process goes unnoticed: no
// Unix unlinks by identity. On Windows the name is deleted with POSIX semantics,
// by the handle whose identity was compared; file systems without such deletes
// (FAT, some redirectors) refuse to remove a mapped file.
func (f *File) Remove() error {
	g, s, err := f.enter()
	if err != nil {
		return f.fail("remove", err)
	}
	defer f.leave(g.epoch, s)
	if f.file == nil {
		return f.fail("remove", errNoFile)
	}
	return f.fail("remove", f.dir.remove(f.file))
}

// SetRemoveOnClose changes what [Options].RemoveOnClose has set: whether closing
// removes the name. A file that is complete can so be kept, and one that is
// given up be removed, whatever it was opened with. Once closing has begun the
// error is [fs.ErrClosed]. Where no name is known, or there is no file, it is
// [errors.ErrUnsupported].
func (f *File) SetRemoveOnClose(remove bool) error {
	const op = "remove"
	g, s, err := f.enter()
	if err != nil {
		return f.fail(op, err)
	}
	defer f.leave(g.epoch, s)
	switch {
	case f.file == nil:
		return f.fail(op, errNoFile)
	case f.dir.nameless:
		return f.fail(op, errNoName)
	}
	return f.fail(op, f.dir.setKeep(remove, f.file))
}

// removeAtClose is Remove for RemoveOnClose. A name that is already gone is
// what was wanted.
func (f *File) removeAtClose() error {
	err := f.dir.remove(f.file)
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errReplaced) {
		return nil
	}
	return err
}

// takeBack removes a file that opening has created before it failed. dir is the
// directory it was created in. Where that could not be opened, the name is
// looked up, and nothing happens when it leads elsewhere by now.
func takeBack(name string, dir *sys.Dir, f *os.File) {
	if dir != nil {
		_, base := splitName(name)
		if names(dir, base, f) {
			_ = dir.Remove(base)
		}
		return
	}
	created, err := f.Stat()
	if err != nil {
		return
	}
	if entry, err := os.Lstat(name); err == nil && os.SameFile(created, entry) {
		_ = os.Remove(name)
	}
}
