package disk

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An Extent is a stretch of a file and where it is on the device.
type Extent struct {
	Off, Device, Len int64 // in bytes
	Unwritten        bool  // has blocks, and reads as zeros until they are written
}

// Extents returns where the blocks of a file are on the device of its file
// system, so that a [Fault] can be about the data of that file alone: an error
// in its journal would make the file system give up. The file is synced first.
func Extents(path string) ([]Extent, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// FS_IOC_FIEMAP, see Documentation/filesystems/fiemap.rst of the kernel.
	const (
		request = 0xC020660B
		sync    = 1 // FIEMAP_FLAG_SYNC
		room    = 512

		unwritten = 0x800 // FIEMAP_EXTENT_UNWRITTEN
	)
	var m struct {
		start, length                   uint64
		flags, mapped, count, reserved_ uint32
		extents                         [room]struct {
			logical, physical, length, reserved1, reserved2 uint64
			flags, reserved3, reserved4, reserved5          uint32
		}
	}
	m.length, m.flags, m.count = ^uint64(0), sync, room
	// The kernel writes at most count extents, for which m has room; m is alive
	// as it is used below.
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(&m))); errno != 0 {
		return nil, &os.PathError{Op: "fiemap", Path: path, Err: errno}
	}
	var extents []Extent
	for _, e := range m.extents[:m.mapped] {
		extents = append(extents, Extent{int64(e.logical), int64(e.physical), int64(e.length), e.flags&unwritten != 0})
	}
	return extents, nil
}
