//go:build !unix

package sys

import (
	"io/fs"
	"os"
)

// dir is an os.Root, and one more handle of the directory to sync it by.
type dir struct {
	root *os.Root
	self *os.File

	listable bool
}

func openDir(name string) (dir, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return dir{}, err
	}
	self, err := root.Open(".")
	if err != nil {
		root.Close()
		return dir{}, err
	}
	return dir{root, self, true}, nil
}

// create lets others rename and delete the file on Windows, as openFile does:
// os.Root opens so, which package os itself does not.
func (d dir) create(base string, flag int, perm fs.FileMode, _ string) (*os.File, error) {
	return d.root.OpenFile(base, flag|os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
}

func (d dir) names(base string, f *os.File) (bool, error) {
	entry, err := d.root.Lstat(base)
	if err != nil {
		return false, err
	}
	open, err := f.Stat()
	if err != nil {
		return false, err
	}
	return os.SameFile(open, entry), nil
}

func (d dir) identity() (ID, error) { return Identity(d.self) }

func nameless(*os.File) bool { return false }

func (d dir) mode(base string) (fs.FileMode, error) {
	fi, err := d.root.Lstat(base)
	if err != nil {
		return 0, err
	}
	return fi.Mode().Type(), nil
}

func (d dir) rename(from, to string) error { return d.root.Rename(from, to) }

func (d dir) remove(base string) error { return d.root.Remove(base) }

func (d dir) unlink(base string, f *os.File) error { return unlink(d.root, base, f) }

func (d dir) sync() error { return syncDir(d.self) }

func (d dir) close() error {
	err := d.self.Close()
	if rerr := d.root.Close(); err == nil {
		err = rerr
	}
	return err
}
