package sys

import (
	"errors"
	"sync"
	"unsafe"

	"golang.org/x/sys/windows"
)

// prefetch starts the reading of a range (PrefetchVirtualMemory, Windows 8).
func (m *Mapping) prefetch(off, n int64) error {
	if err := procPrefetchVirtualMemory.Find(); err != nil {
		return errors.ErrUnsupported
	}
	entry := struct{ base, size uintptr }{uintptr(m.base) + uintptr(off), uintptr(n)}
	// In bounds: the call reads the one entry. Alive: it is an argument of the
	// call, which keeps no pointer.
	r, _, err := procPrefetchVirtualMemory.Call(uintptr(windows.CurrentProcess()), 1, uintptr(unsafe.Pointer(&entry)), 0)
	if r == 0 {
		return err
	}
	return nil
}

// populate asks for the whole range at once and then touches each page, which
// waits for it: no call of Windows does both.
func (m *Mapping) populate(off, n int64, write bool) error {
	from, length, ok := m.pageOutward(off, n)
	if !ok {
		return windows.ERROR_INVALID_PARAMETER
	}
	if n == 0 {
		return nil
	}
	if write && m.access != ReadWrite && m.access != Copy {
		return windows.ERROR_ACCESS_DENIED
	}
	if !CallPopulate.Missing() {
		_ = m.prefetch(from, length) // a head start; the touch finds out
	}
	return m.touch(from, length, write)
}

func (m *Mapping) advise(a Advice, off, n int64) error {
	switch a {
	case PopulateRead:
		return m.populate(off, n, false)
	case PopulateWrite:
		return m.populate(off, n, true)
	case WillNeed, DontNeed, PageOut:
	default:
		return errors.ErrUnsupported
	}
	from, length, ok := m.pageOutward(off, n)
	if !ok {
		return windows.ERROR_INVALID_PARAMETER
	}
	if length == 0 {
		return nil
	}
	if a == WillNeed {
		return m.prefetch(from, length)
	}
	// Unlocking what is not locked takes it out of the working set; nothing is
	// lost.
	return m.virtualUnlock(from, length)
}

// virtualUnlock does not mind pages that were not locked.
func (m *Mapping) virtualUnlock(off, n int64) error {
	err := windows.VirtualUnlock(uintptr(m.base)+uintptr(off), uintptr(n))
	if err == windows.ERROR_NOT_LOCKED {
		return nil
	}
	return err
}

// pageInfo is PSAPI_WORKING_SET_EX_INFORMATION.
type pageInfo struct{ address, attributes uintptr }

// pageInfos are the buffers of resident: on the heap, where they keep their
// address.
var pageInfos = sync.Pool{New: func() any { return new([1024]pageInfo) }}

func residentAtOnce() bool { return true }

// resident counts the pages in the working set of this process. One that is
// merely in the system's cache does not count: touching it takes a fault, if a
// short one.
func (m *Mapping) resident(off, n int64) (pages, of int64, err error) {
	from, length, ok := m.pageOutward(off, n)
	if !ok {
		return 0, 0, windows.ERROR_INVALID_PARAMETER
	}
	if n == 0 {
		return 0, 0, nil
	}
	infos := pageInfos.Get().(*[1024]pageInfo)
	defer pageInfos.Put(infos)
	step := pageSize()
	for end := from + length; from < end; {
		k := 0
		for ; k < len(infos) && from < end; k++ {
			infos[k] = pageInfo{address: uintptr(m.base) + uintptr(from)}
			from += step
		}
		size := uint32(uintptr(k) * unsafe.Sizeof(infos[0]))
		// In bounds: the call reads and writes size bytes, those of k elements.
		// Alive: infos, in a heap that does not move, is used below.
		if err := windows.QueryWorkingSetEx(windows.CurrentProcess(), uintptr(unsafe.Pointer(infos)), size); err != nil {
			return 0, 0, err
		}
		of += int64(k)
		for _, i := range infos[:k] {
			pages += int64(i.attributes & 1)
		}
	}
	return pages, of, nil
}

// workingSet guards the process's working-set limits while they are raised.
var workingSet sync.Mutex

// lockMemory raises the working set's limits when they are in the way, as
// VirtualLock's documentation tells its callers to: by default they allow some
// 30 pages.
func (m *Mapping) lockMemory(off, n int64) error {
	from, length, ok := m.pageOutward(off, n)
	if !ok {
		return windows.ERROR_INVALID_PARAMETER
	}
	if length == 0 {
		return nil
	}
	base := uintptr(m.base) + uintptr(from)
	err := windows.VirtualLock(base, uintptr(length))
	if err != windows.ERROR_WORKING_SET_QUOTA {
		return err
	}
	workingSet.Lock()
	defer workingSet.Unlock()
	var low, high uintptr
	var flags uint32
	self := windows.CurrentProcess()
	windows.GetProcessWorkingSetSizeEx(self, &low, &high, &flags)
	more := uintptr(length) + uintptr(pageSize())
	if low+more < low || high+more < high {
		return err
	}
	if windows.SetProcessWorkingSetSizeEx(self, low+more, high+more, flags) != nil {
		return err
	}
	return windows.VirtualLock(base, uintptr(length))
}

func (m *Mapping) unlockMemory(off, n int64) error {
	from, length, ok := m.pageOutward(off, n)
	if !ok {
		return windows.ERROR_INVALID_PARAMETER
	}
	if length == 0 {
		return nil
	}
	return m.virtualUnlock(from, length)
}

// discard clears first and then tells the system that it need not keep the
// pages: whether it does or not, they read as zero.
func (m *Mapping) discard(off, n int64) error {
	if m.file != nil || off < 0 || n < 0 || off > m.size {
		return windows.ERROR_INVALID_PARAMETER
	}
	n = min(n, m.size-off)
	clear(m.bytes(off, n))
	if from, length, _ := m.pageInward(off, n); length > 0 {
		base := uintptr(m.base) + uintptr(from)
		_, _ = windows.VirtualAlloc(base, uintptr(length), windows.MEM_RESET, windows.PAGE_READWRITE)
	}
	return nil
}
