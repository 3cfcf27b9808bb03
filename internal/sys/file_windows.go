package sys

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"
)

// unsupported turns the errors of a call that the file system lacks into
// [errors.ErrUnsupported].
func unsupported(err error) error {
	switch err {
	case windows.ERROR_INVALID_FUNCTION, windows.ERROR_NOT_SUPPORTED, windows.ERROR_CALL_NOT_IMPLEMENTED:
		return errors.ErrUnsupported
	}
	return err
}

func fileSize(h windows.Handle) (int64, error) {
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &info); err != nil {
		return 0, err
	}
	return int64(info.FileSizeHigh)<<32 | int64(info.FileSizeLow), nil
}

// allocate extends the file: Windows gives a file clusters for its whole
// length, except for sparse and compressed files, which have no guarantee.
func allocate(f *os.File, off, n int64) error {
	if CallFallocate.Missing() {
		return errors.ErrUnsupported
	}
	if off < 0 || n < 0 || off > math.MaxInt64-n {
		return windows.ERROR_INVALID_PARAMETER
	}
	var info windows.ByHandleFileInformation
	if err := control(f, func(fd uintptr) error {
		return windows.GetFileInformationByHandle(windows.Handle(fd), &info)
	}); err != nil {
		return err
	}
	if info.FileAttributes&(windows.FILE_ATTRIBUTE_SPARSE_FILE|windows.FILE_ATTRIBUTE_COMPRESSED) != 0 {
		return errors.ErrUnsupported
	}
	if size := int64(info.FileSizeHigh)<<32 | int64(info.FileSizeLow); off+n <= size {
		return nil
	}
	return unwrapPath(f.Truncate(off + n))
}

func allocated(f *os.File) (int64, error) {
	// FILE_COMPRESSION_INFO counts the clusters of sparse and compressed files
	// too; FILE_STANDARD_INFO is what every file system has.
	var compressed struct {
		size int64
		_    [8]byte
	}
	var standard struct {
		allocation, end int64
		_               [8]byte
	}
	n := int64(0)
	err := control(f, func(fd uintptr) error {
		h := windows.Handle(fd)
		err := windows.GetFileInformationByHandleEx(h, windows.FileCompressionInfo,
			(*byte)(unsafe.Pointer(&compressed)), uint32(unsafe.Sizeof(compressed)))
		if err == nil {
			n = compressed.size
			return nil
		}
		err = windows.GetFileInformationByHandleEx(h, windows.FileStandardInfo,
			(*byte)(unsafe.Pointer(&standard)), uint32(unsafe.Sizeof(standard)))
		n = standard.allocation
		return err
	})
	return n, err
}

func freeSpace(f *os.File) (int64, error) {
	name := make([]uint16, windows.MAX_PATH)
	err := control(f, func(fd uintptr) error {
		for {
			n, err := windows.GetFinalPathNameByHandle(windows.Handle(fd), &name[0], uint32(len(name)), 0)
			if err != nil {
				return err
			}
			if int(n) < len(name) {
				name = name[:n]
				return nil
			}
			name = make([]uint16, n)
		}
	})
	if err != nil {
		return 0, err
	}
	dir, err := windows.UTF16PtrFromString(filepath.Dir(windows.UTF16ToString(name)) + `\`)
	if err != nil {
		return 0, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(dir, &free, nil, nil); err != nil {
		return 0, err
	}
	return int64(min(free, math.MaxInt64)), nil
}

// punchHole makes the file sparse first: in any other, zeroing frees nothing.
func punchHole(f *os.File, off, n int64) error {
	if off < 0 || n < 0 || off > math.MaxInt64-n {
		return windows.ERROR_INVALID_PARAMETER
	}
	return control(f, func(fd uintptr) error {
		h, got := windows.Handle(fd), uint32(0)
		size, err := fileSize(h)
		if err != nil {
			return err
		}
		// FILE_ZERO_DATA_INFORMATION: an offset, and the first one that is not
		// meant.
		hole := [2]int64{off, min(off+n, size)}
		if hole[0] >= hole[1] {
			return nil
		}
		if err := windows.DeviceIoControl(h, windows.FSCTL_SET_SPARSE, nil, 0, nil, 0, &got, nil); err != nil {
			return unsupported(err)
		}
		err = windows.DeviceIoControl(h, windows.FSCTL_SET_ZERO_DATA,
			(*byte)(unsafe.Pointer(&hole)), uint32(unsafe.Sizeof(hole)), nil, 0, &got, nil)
		if err == windows.ERROR_USER_MAPPED_FILE {
			// A view of the range stands in the way; its owner can store
			// zeroes.
			return errors.ErrUnsupported
		}
		return unsupported(err)
	})
}

func startWriteback(*os.File, int64, int64) error {
	return errors.ErrUnsupported
}

func awaitWriteback(*os.File, int64, int64) error {
	return errors.ErrUnsupported
}

func copyRange(*os.File, int64, *os.File, int64, int64) (int64, error) {
	return 0, errors.ErrUnsupported
}

// syncDir has nothing to do but to look whether the directory is open:
// directories cannot be flushed here, and NTFS writes their changes to its
// journal.
func syncDir(d *os.File) error {
	return control(d, func(uintptr) error { return nil })
}
