//go:build unix

package sys

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// dir holds a directory that can be listed, or only be searched.
type dir struct {
	f        *os.File
	listable bool
}

func openDir(name string) (dir, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err == nil {
		return dir{f, true}, nil
	}
	if searchOnly != 0 && errors.Is(err, fs.ErrPermission) {
		if f, serr := os.OpenFile(name, searchOnly|unix.O_DIRECTORY, 0); serr == nil {
			return dir{f, false}, nil
		}
	}
	return dir{}, err
}

// at calls fn with the descriptor of the directory until no signal interrupts.
func (d dir) at(fn func(fd int) error) error {
	return control(d.f, func(fd uintptr) error {
		return retryEINTR(func() error { return fn(int(fd)) })
	})
}

func (d dir) create(base string, flag int, perm fs.FileMode, name string) (*os.File, error) {
	mode := uint32(perm.Perm())
	for bit, m := range map[fs.FileMode]uint32{fs.ModeSetuid: unix.S_ISUID, fs.ModeSetgid: unix.S_ISGID, fs.ModeSticky: unix.S_ISVTX} {
		if perm&bit != 0 {
			mode |= m
		}
	}
	// A file that is new cannot keep its opener waiting, and package os takes
	// one that is open without O_NONBLOCK for a regular file.
	flag = flag&^unix.O_NONBLOCK | os.O_RDWR | os.O_CREATE | os.O_EXCL | unix.O_CLOEXEC
	new := -1
	err := d.at(func(fd int) (err error) {
		new, err = unix.Openat(fd, base, flag, mode)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(new), name), nil
}

// lstat describes an entry.
func (d dir) lstat(base string, st *unix.Stat_t) error {
	return d.at(func(fd int) error { return unix.Fstatat(fd, base, st, unix.AT_SYMLINK_NOFOLLOW) })
}

func (d dir) names(base string, f *os.File) (bool, error) {
	var entry unix.Stat_t
	if err := d.lstat(base, &entry); err != nil {
		return false, err
	}
	open, err := fstat(f)
	if err != nil {
		return false, err
	}
	return entry.Dev == open.Dev && entry.Ino == open.Ino, nil
}

func (d dir) identity() (ID, error) { return Identity(d.f) }

func nameless(f *os.File) bool {
	st, err := fstat(f)
	return err == nil && st.Nlink == 0
}

func (d dir) mode(base string) (fs.FileMode, error) {
	var st unix.Stat_t
	if err := d.lstat(base, &st); err != nil {
		return 0, err
	}
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFREG:
		return 0, nil
	case unix.S_IFDIR:
		return fs.ModeDir, nil
	case unix.S_IFLNK:
		return fs.ModeSymlink, nil
	case unix.S_IFIFO:
		return fs.ModeNamedPipe, nil
	case unix.S_IFSOCK:
		return fs.ModeSocket, nil
	case unix.S_IFBLK:
		return fs.ModeDevice, nil
	case unix.S_IFCHR:
		return fs.ModeDevice | fs.ModeCharDevice, nil
	}
	return fs.ModeIrregular, nil
}

func (d dir) rename(from, to string) error {
	return d.at(func(fd int) error { return unix.Renameat(fd, from, fd, to) })
}

func (d dir) remove(base string) error {
	return d.at(func(fd int) error { return unix.Unlinkat(fd, base, 0) })
}

func (d dir) unlink(base string, _ *os.File) error { return d.remove(base) }

func (d dir) sync() error {
	if !d.listable {
		return fs.ErrPermission // the descriptor is good for no fsync
	}
	return syncDir(d.f)
}

func (d dir) close() error { return d.f.Close() }
