package sys

import (
	"io/fs"
	"os"
)

// A Dir is an open directory. What is done through it is done in that
// directory, whatever becomes of its name. Its methods take names of entries:
// single elements, neither "." nor "..". Their errors may have a path.
type Dir struct {
	dir dir
}

// OpenDir opens a directory. One that may be searched but not listed opens
// where the system can do that (Linux, FreeBSD, macOS); see Listable. Errors have
// a path.
func OpenDir(name string) (*Dir, error) {
	if err := injected(OpOpenDir); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	d, err := openDir(name)
	if err != nil {
		return nil, err
	}
	return &Dir{dir: d}, nil
}

// Listable reports whether the directory may be listed. One that may not has no
// Sync: it returns [fs.ErrPermission].
func (d *Dir) Listable() bool { return d.dir.listable }

// Create makes a regular file for reading and writing, which must be absent.
// flag is for further flags of [os.OpenFile]. The file is called name.
func (d *Dir) Create(base string, flag int, perm fs.FileMode, name string) (*os.File, error) {
	return d.dir.create(base, flag, perm, name)
}

// Names reports whether the entry itself, not what it may link to, is the open
// file f. An absent entry is [fs.ErrNotExist].
func (d *Dir) Names(base string, f *os.File) (bool, error) { return d.dir.names(base, f) }

// Identity returns the identity of the directory, see [Identity].
func (d *Dir) Identity() (ID, error) { return d.dir.identity() }

// Type returns the type bits of the entry itself.
func (d *Dir) Type(base string) (fs.FileMode, error) { return d.dir.mode(base) }

// Rename moves an entry within the directory, and replaces what has the name.
func (d *Dir) Rename(from, to string) error { return d.dir.rename(from, to) }

// Remove unlinks an entry.
func (d *Dir) Remove(base string) error { return d.dir.remove(base) }

// Unlink removes the entry, which is the open file f. Mapped or not, f stays
// usable. On Windows the identity is compared once more, by the handle that
// then deletes: another file is [fs.ErrNotExist], and a file system without
// POSIX semantics refuses to delete what is mapped.
func (d *Dir) Unlink(base string, f *os.File) error {
	if err := injected(OpUnlink); err != nil {
		return err
	}
	return d.dir.unlink(base, f)
}

// Sync makes the names in the directory durable. It returns
// [errors.ErrUnsupported] on a file system that does not sync directories.
func (d *Dir) Sync() error {
	if err := injected(OpFsyncDir); err != nil {
		return err
	}
	return d.dir.sync()
}

// Close closes the directory.
func (d *Dir) Close() error { return d.dir.close() }

// PathOf returns the name that the system knows of the open file f now: where
// the name that it was opened by has been renamed to, at times with something
// behind it if there is no such name any longer. The file need not be there: a
// caller checks what it finds. Except on Linux, and where /proc is missing or
// hides it, the error is [errors.ErrUnsupported].
func PathOf(f *os.File) (string, error) {
	if err := injected(OpReadlink); err != nil {
		return "", err
	}
	return pathOf(f)
}

// Nameless reports whether the open file f is known to have no name left.
func Nameless(f *os.File) bool { return nameless(f) }

// SyncAll makes the whole file system of f durable, the names in its
// directories included. It returns [errors.ErrUnsupported] except on Linux.
func SyncAll(f *os.File) error {
	if err := injected(OpSyncAll); err != nil {
		return err
	}
	return syncAll(f)
}
