package sys

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/windows"
)

func duplicate(f *os.File) (*os.File, error) {
	var another windows.Handle
	err := control(f, func(fd uintptr) error {
		self := windows.CurrentProcess()
		return windows.DuplicateHandle(self, windows.Handle(fd), self, &another, 0, false, windows.DUPLICATE_SAME_ACCESS)
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(another), f.Name()), nil
}

func openMode(f *os.File) (mode int, err error) {
	const fileAccessInformation = 8
	var rights uint32 // FILE_ACCESS_INFORMATION is nothing else
	err = control(f, func(fd uintptr) error {
		var status windows.IO_STATUS_BLOCK
		// In bounds and alive: rights is a local.
		return windows.NtQueryInformationFile(windows.Handle(fd), &status,
			(*byte)(unsafe.Pointer(&rights)), uint32(unsafe.Sizeof(rights)), fileAccessInformation)
	})
	switch {
	case err != nil:
		return 0, err
	case rights&windows.FILE_READ_DATA != 0 && rights&windows.FILE_WRITE_DATA != 0:
		return os.O_RDWR, nil
	case rights&windows.FILE_READ_DATA != 0 && rights&windows.FILE_APPEND_DATA != 0:
		return os.O_RDWR | os.O_APPEND, nil
	case rights&windows.FILE_READ_DATA != 0:
		return os.O_RDONLY, nil
	case rights&(windows.FILE_WRITE_DATA|windows.FILE_APPEND_DATA) != 0:
		return os.O_WRONLY, nil
	}
	return 0, fs.ErrPermission
}

func deviceSize(*os.File) (int64, error) { return 0, errors.ErrUnsupported }

// newShared makes a file that the system keeps in memory while there is room,
// and deletes when its last handle is closed.
func newShared(string) (*os.File, error) {
	for {
		name := filepath.Join(os.TempDir(), "fmmap-"+strconv.FormatUint(rand.Uint64(), 36))
		path, err := windows.UTF16PtrFromString(name)
		if err != nil {
			return nil, err
		}
		const (
			access = windows.GENERIC_READ | windows.GENERIC_WRITE | windows.DELETE
			share  = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
			kind   = windows.FILE_ATTRIBUTE_TEMPORARY | windows.FILE_FLAG_DELETE_ON_CLOSE
		)
		h, err := windows.CreateFile(path, access, share, nil, windows.CREATE_NEW, kind, 0)
		switch {
		case err == nil:
			return os.NewFile(uintptr(h), name), nil
		case !errors.Is(err, fs.ErrExist):
			return nil, err
		}
	}
}
