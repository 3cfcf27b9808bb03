//go:build darwin || dragonfly || freebsd || linux || netbsd

package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a mapping knows of mincore about its file; looked at once.
const (
	mincoreUnknown = iota
	mincoreHonest
	mincoreMasked // every page is called resident
)

func residentAtOnce() bool { return mincoreLooks() }

func (m *Mapping) resident(off, n int64) (pages, of int64, err error) {
	from, length, ok := m.pageOutward(off, n)
	if !ok {
		return 0, 0, unix.EINVAL
	}
	if n == 0 {
		return 0, 0, nil
	}
	switch {
	case !mincoreLooks():
		return m.residentNowait(from, length)
	case m.file != nil && m.truth.Load() != mincoreHonest:
		if err := m.checkMincore(); err != nil {
			return 0, 0, err
		}
	}
	return m.countResident(from, length)
}

// countResident counts the resident pages of a range of whole pages. Its pointers
// are in bounds, as the range is within the mapping, which is not unmapped
// during a call of sys.
func (m *Mapping) countResident(off, n int64) (pages, of int64, err error) {
	if n == pageSize() { // the usual question before a small read
		var v byte
		err := mincore(unsafe.Add(m.base, off), uintptr(n), &v)
		return int64(v & 1), 1, err
	}
	var vec [1024]byte
	step := int64(len(vec)) * pageSize()
	for end := off + n; off < end; off += step {
		n := min(end-off, step)
		if err := mincore(unsafe.Add(m.base, off), uintptr(n), &vec[0]); err != nil {
			return 0, 0, err
		}
		count := n / pageSize()
		of += count
		for _, v := range vec[:count] {
			pages += int64(v & 1)
		}
	}
	return pages, of, nil
}

// mincore is mincore(2). It reads no memory at p.
//
// In bounds: the caller's vec has a byte per page of [p, p+n). Alive: vec is an
// argument of the call, which keeps no pointer.
func mincore(p unsafe.Pointer, n uintptr, vec *byte) error {
	CallMincore.count()
	return retryTransient(func() error {
		if _, _, e := unix.Syscall(unix.SYS_MINCORE, uintptr(p), n, uintptr(unsafe.Pointer(vec))); e != 0 {
			return e
		}
		return nil
	})
}

// mincoreLooks reports whether mincore looks at pages at all. It finds that out
// once, at a page of memory that cannot have been touched, so that no file has
// a part in the outcome: a filter refuses the call (the kernel never does), and
// gVisor calls that page resident like every other.
func mincoreLooks() bool {
	if CallMincore.Missing() {
		return false
	}
	if CallMincore.works() {
		return true
	}
	n := uintptr(pageSize())
	p, err := unix.MmapPtr(-1, 0, nil, n, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return true // nothing is known; the next call tries again
	}
	defer func() { _ = unix.MunmapPtr(p, n) }()
	var v byte
	switch err := mincore(p, n, &v); {
	case err != nil && refusal(err), err == nil && v&1 != 0:
		_ = CallMincore.refuse()
		return false
	case err == nil:
		working.Or(CallMincore.bit())
	}
	return true
}

// checkMincore finds out whether mincore is honest about this file. Since Linux
// 5.2 it calls every page resident for a process that neither owns the file nor
// may write it, so that page caches are no side channel (mincore(2)). A page
// far past EOF is never cached, so if mincore reports it resident, its results
// are masked. If no such page can be mapped, we assume that they are.
//
// That is a property of the file and this process together, so the mapping
// remembers it and not the process.
func (m *Mapping) checkMincore() error {
	if m.truth.Load() == mincoreMasked {
		return CallMincore.unsupported()
	}
	masked, err := m.farPageResident()
	if err != nil {
		return err
	}
	if masked {
		m.truth.Store(mincoreMasked)
		return CallMincore.unsupported()
	}
	m.truth.Store(mincoreHonest)
	return nil
}

// farPageResident reports whether mincore calls a page past the end of the file
// resident, or no such page can be mapped.
func (m *Mapping) farPageResident() (resident bool, err error) {
	resident = true
	err = control(m.file, func(fd uintptr) error {
		var st unix.Stat_t
		if err := retryEINTR(func() error { return unix.Fstat(int(fd), &st) }); err != nil {
			return err
		}
		end, page := st.Size&^(pageSize()-1), uintptr(pageSize())
		// The largest folio that may straddle the end is 512 MiB; where files
		// cannot be as long as that, none is of more than 2 MiB.
		for _, past := range []int64{1 << 30, 4 << 20} {
			p, err := unix.MmapPtr(int(fd), end+past, nil, page, unix.PROT_READ, unix.MAP_SHARED)
			if err != nil {
				continue
			}
			var v byte
			err = mincore(p, page, &v)
			resident = v&1 == 1
			_ = unix.MunmapPtr(p, page)
			return err
		}
		return nil
	})
	return resident, err
}
