//go:build darwin || dragonfly || freebsd || linux || netbsd

package sys

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a mapping knows about the truth of mincore; asked for once.
const (
	truthUnknown = iota
	truthTold
	truthDenied
)

func (m *Mapping) resident(off, n int64) (pages, of int64, err error) {
	from, length, ok := m.outward(off, n)
	if !ok {
		return 0, 0, unix.EINVAL
	}
	if n == 0 {
		return 0, 0, nil
	}
	if m.file != nil {
		if err := m.mincoreTruth(); err != nil {
			return 0, 0, err
		}
	}
	return m.mincore(from, length)
}

// mincore counts the resident pages of a range of whole pages.
func (m *Mapping) mincore(off, n int64) (pages, of int64, err error) {
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

// mincore is mincore(2); vec has a byte for each page of [p, p+n).
func mincore(p unsafe.Pointer, n uintptr, vec *byte) error {
	return insisting(func() error {
		if _, _, e := unix.Syscall(unix.SYS_MINCORE, uintptr(p), n, uintptr(unsafe.Pointer(vec))); e != 0 {
			return e
		}
		return nil
	})
}

// mincoreTruth finds out whether the kernel tells this process the truth about the
// file. Since Linux 5.2 it calls every page resident to one that neither owns
// the file nor may write it, so that page caches are no side channel (mincore(2)).
// A page far past the end of the file, which is in no cache, betrays that. Where no such
// page can be mapped there is nothing to tell a lie by.
func (m *Mapping) mincoreTruth() error {
	switch m.truth.Load() {
	case truthTold:
		return nil
	case truthDenied:
		return errors.ErrUnsupported
	}
	told, err := m.farPageAbsent()
	if err != nil {
		return err
	}
	if !told {
		m.truth.Store(truthDenied)
		return errors.ErrUnsupported
	}
	m.truth.Store(truthTold)
	return nil
}

// farPageAbsent says that a page past the end of the file could be mapped
// and is not called resident.
func (m *Mapping) farPageAbsent() (absent bool, err error) {
	err = withFd(m.file, func(fd uintptr) error {
		var st unix.Stat_t
		if err := ignoringEINTR(func() error { return unix.Fstat(int(fd), &st) }); err != nil {
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
			absent = v&1 == 0
			_ = unix.MunmapPtr(p, page)
			return err
		}
		return nil
	})
	return absent, err
}
