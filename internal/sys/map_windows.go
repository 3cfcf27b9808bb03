package sys

import (
	"io/fs"
	"math"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/windows"
)

const (
	mapsFiles        = true
	canReserve       = false
	shrinkNeedsUnmap = true // ERROR_USER_MAPPED_FILE
	execIsFixed      = true // by the section
)

var (
	kernel32                  = windows.NewLazySystemDLL("kernel32.dll")
	procGetSystemInfo         = kernel32.NewProc("GetSystemInfo")
	procReOpenFile            = kernel32.NewProc("ReOpenFile")
	procPrefetchVirtualMemory = kernel32.NewProc("PrefetchVirtualMemory")
)

// granularity returns the allocation granularity, which has been 64 KiB on every
// Windows so far.
var granularity = sync.OnceValue(func() int64 {
	var info struct {
		_                     uint32  // architecture
		_                     uint32  // page size
		_, _, _               uintptr // lowest and highest address, processors
		_, _                  uint32  // number and type of processors
		allocationGranularity uint32
		_                     [2]uint16
	}
	// In bounds: info has the layout of SYSTEM_INFO. Alive: it is an argument of
	// the call, which keeps no pointer.
	_, _, _ = procGetSystemInfo.Call(uintptr(unsafe.Pointer(&info)))
	return int64(info.allocationGranularity)
})

func mmap(f *os.File, o MapOptions) (*Mapping, error) {
	if o.Len <= 0 || o.Offset < 0 || o.Offset%granularity() != 0 || o.Offset > math.MaxInt64-o.Len {
		return nil, windows.ERROR_INVALID_PARAMETER
	}
	if o.Len > math.MaxInt {
		return nil, windows.ERROR_NOT_ENOUGH_MEMORY
	}
	m := &Mapping{size: o.Len, file: f, offset: o.Offset, access: o.Access, page: pageSize(), usable: o.Len}
	var err error
	if f == nil {
		err = m.alloc()
	} else {
		err = control(f, m.view)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

func granularityOf(*os.File, fs.FileInfo) int64 { return granularity() }

// extend has nothing to do: no address space is reserved here.
func (m *Mapping) extend(int64) error { return nil }

// setBase sets the base to an address that Windows returned.
func (m *Mapping) setBase(addr uintptr) {
	// Alive: addr is not in Go's heap, so the collector neither moves nor frees
	// what it points to; unmap does.
	m.base = *(*unsafe.Pointer)(unsafe.Pointer(&addr))
}

// alloc takes anonymous memory.
func (m *Mapping) alloc() error {
	const kind = windows.MEM_RESERVE | windows.MEM_COMMIT
	protection := protOf(m.access)
	if m.access == Copy {
		protection = windows.PAGE_READWRITE
	}
	addr, err := windows.VirtualAlloc(0, uintptr(m.size), kind, protection)
	if err != nil {
		return err
	}
	m.setBase(addr)
	return nil
}

// view maps the range through a section exactly as long as is asked for, which
// a shorter file would be extended by: so its length is looked at first. The
// section's handle is not needed once the view is there.
func (m *Mapping) view(fd uintptr) error {
	h, end := windows.Handle(fd), m.offset+m.size
	size, err := fileSize(h)
	if err != nil {
		return err
	}
	if size < end {
		return windows.ERROR_HANDLE_EOF
	}
	access := uint32(windows.FILE_MAP_READ)
	switch m.access {
	case ReadWrite:
		access |= windows.FILE_MAP_WRITE
	case Copy:
		access = windows.FILE_MAP_COPY
	case ReadExec:
		access |= windows.FILE_MAP_EXECUTE
		// An executable section needs the right to execute, which package os
		// never asks for.
		if h, err = reopen(h, windows.GENERIC_READ|windows.GENERIC_EXECUTE); err != nil {
			return err
		}
		defer func() { _ = windows.CloseHandle(h) }()
	}
	section, err := windows.CreateFileMapping(h, nil, protOf(m.access), uint32(end>>32), uint32(end), nil)
	if err != nil {
		return err
	}
	defer func() { _ = windows.CloseHandle(section) }()
	addr, err := windows.MapViewOfFile(section, access, uint32(m.offset>>32), uint32(m.offset), uintptr(m.size))
	if err != nil {
		return err
	}
	// On 32-bit a view may come out shorter than it was asked for.
	var info windows.MemoryBasicInformation
	err = windows.VirtualQuery(addr, &info, unsafe.Sizeof(info))
	if err == nil && info.RegionSize < uintptr(m.size) {
		err = windows.ERROR_NOT_ENOUGH_MEMORY
	}
	if err != nil {
		_ = windows.UnmapViewOfFile(addr)
		return err
	}
	m.setBase(addr)
	return nil
}

// reopen opens the file of h once more with other rights.
func reopen(h windows.Handle, access uint32) (windows.Handle, error) {
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	r, _, err := procReOpenFile.Call(uintptr(h), uintptr(access), share, 0)
	if windows.Handle(r) == windows.InvalidHandle {
		return 0, err
	}
	return windows.Handle(r), nil
}

// protOf is the system's name of an access.
func protOf(a Access) uint32 {
	switch a {
	case ReadWrite:
		return windows.PAGE_READWRITE
	case Copy:
		return windows.PAGE_WRITECOPY
	case ReadExec:
		return windows.PAGE_EXECUTE_READ
	default:
		return windows.PAGE_READONLY
	}
}

func (m *Mapping) unmap() error {
	if m.file == nil {
		return windows.VirtualFree(uintptr(m.base), 0, windows.MEM_RELEASE)
	}
	return windows.UnmapViewOfFile(uintptr(m.base))
}

// protect cannot make a view executable whose section is not: Windows then
// returns ERROR_INVALID_PARAMETER or ERROR_ACCESS_DENIED.
func (m *Mapping) protect(a Access) error {
	protection := protOf(a)
	switch {
	case m.file == nil && a == Copy:
		protection = windows.PAGE_READWRITE
	case m.file != nil && m.access == Copy && a == ReadWrite:
		protection = windows.PAGE_WRITECOPY
	}
	var old uint32
	return windows.VirtualProtect(uintptr(m.base), uintptr(m.size), protection, &old)
}

// sync writes the view's dirty pages to the file and then the file to the
// device. A view that cannot have been written has nothing to flush, and
// FlushFileBuffers would refuse its handle.
func (m *Mapping) sync(off, n int64) error {
	if m.file == nil || m.access != ReadWrite {
		return nil
	}
	from, length, ok := m.pageOutward(off, n)
	if !ok {
		return windows.ERROR_INVALID_PARAMETER
	}
	// To FlushViewOfFile a length of 0 is the whole view.
	if length > 0 {
		if err := m.flushView(from, length); err != nil {
			return err
		}
	}
	return syncFile(m.file)
}

func (m *Mapping) flushView(off, n int64) error {
	// While the system itself writes pages of the view out, it may return
	// ERROR_LOCK_VIOLATION; the next attempt then waits behind that.
	err := error(windows.ERROR_LOCK_VIOLATION)
	for range 5 {
		err = windows.FlushViewOfFile(uintptr(m.base)+uintptr(off), uintptr(n))
		if err != windows.ERROR_LOCK_VIOLATION {
			break
		}
	}
	return err
}
