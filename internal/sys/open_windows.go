package sys

import (
	"io/fs"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// OpenNonblock means nothing here: names of files never lead to pipes that
// wait.
const OpenNonblock = 0

// ErrNoSpace is the error of a full disk.
const ErrNoSpace = windows.ERROR_DISK_FULL

// openFile differs from os.OpenFile in one thing: it lets others delete and
// rename the file while it is open (FILE_SHARE_DELETE), as they can everywhere
// else.
func openFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	h, err := createFile(name, flag, perm)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(h), name)
	if flag&os.O_TRUNC != 0 {
		if err := f.Truncate(0); err != nil {
			f.Close()
			return nil, err
		}
	}
	return f, nil
}

func createFile(name string, flag int, perm fs.FileMode) (windows.Handle, error) {
	if flag&os.O_APPEND != 0 {
		return 0, syscall.EINVAL // a mapping needs the right to write anywhere
	}
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, err
	}
	access := uint32(windows.GENERIC_READ)
	switch flag & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR) {
	case os.O_WRONLY:
		access = windows.GENERIC_WRITE
	case os.O_RDWR:
		access |= windows.GENERIC_WRITE
	}
	disposition, attributes := uint32(windows.OPEN_EXISTING), uint32(windows.FILE_ATTRIBUTE_NORMAL)
	switch {
	case flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		disposition = windows.CREATE_NEW
		attributes |= windows.FILE_FLAG_OPEN_REPARSE_POINT // a link is a name that is taken
	case flag&os.O_CREATE != 0:
		disposition = windows.OPEN_ALWAYS
	}
	if flag&os.O_CREATE != 0 && perm&0o200 == 0 {
		attributes = attributes&^windows.FILE_ATTRIBUTE_NORMAL | windows.FILE_ATTRIBUTE_READONLY
	}
	if flag&os.O_SYNC != 0 {
		attributes |= windows.FILE_FLAG_WRITE_THROUGH
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	return windows.CreateFile(path, access, share, nil, disposition, attributes, 0)
}

// unlink deletes by a handle. Package os could not: it asks for a check that
// refuses files with views on them.
func unlink(dir *os.Root, name string, f *os.File) error {
	want, err := Identity(f)
	if err != nil {
		return err
	}
	found, err := dir.Open(name)
	if err != nil {
		return err
	}
	defer found.Close()
	if id, err := Identity(found); err != nil {
		return err
	} else if id != want {
		return fs.ErrNotExist
	}
	if control(found, deletePosix) == nil {
		return nil
	}
	return dir.Remove(name)
}

// deletePosix removes the name of the handle at once, although other handles
// are open (Windows 10 on NTFS).
func deletePosix(fd uintptr) error {
	h, err := reopen(windows.Handle(fd), windows.DELETE)
	if err != nil {
		return err
	}
	defer func() { _ = windows.CloseHandle(h) }()
	flags := uint32(windows.FILE_DISPOSITION_DELETE | windows.FILE_DISPOSITION_POSIX_SEMANTICS |
		windows.FILE_DISPOSITION_IGNORE_READONLY_ATTRIBUTE)
	// In bounds and alive: flags is a local, and FILE_DISPOSITION_INFO_EX is
	// nothing else.
	return windows.SetFileInformationByHandle(h, windows.FileDispositionInfoEx, (*byte)(unsafe.Pointer(&flags)), uint32(unsafe.Sizeof(flags)))
}
