package sys

import (
	"io/fs"
	"unsafe"

	"golang.org/x/sys/windows"
)

// fileIDInfo is FILE_ID_INFO. ReFS needs all 128 bits; file systems that have
// 64 fill the rest with zero.
type fileIDInfo struct {
	volume uint64
	file   [2]uint64
}

// identity queries the 128-bit index first, and the 64-bit one where the file
// system does not have it (FAT, some redirectors). It uses the same one for a
// file each time.
func identity(fd uintptr) (ID, error) {
	h := windows.Handle(fd)
	var long fileIDInfo
	// In bounds and alive: long is a local of the size that is passed.
	err := windows.GetFileInformationByHandleEx(h, windows.FileIdInfo, (*byte)(unsafe.Pointer(&long)), uint32(unsafe.Sizeof(long)))
	if err == nil {
		return ID(long), nil
	}
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &info); err != nil {
		return ID{}, err
	}
	index := uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow)
	return ID{volume: uint64(info.VolumeSerialNumber), file: [2]uint64{index}}, nil
}

// identityOf reports false: package os does not export what it keeps for
// [os.SameFile].
func identityOf(fs.FileInfo) (ID, bool) { return ID{}, false }
