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
	if err := injected("mincore"); err != nil {
		return 0, 0, err
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
	var vec [4096]byte
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
	for {
		_, _, e := unix.Syscall(unix.SYS_MINCORE, uintptr(p), n, uintptr(unsafe.Pointer(vec)))
		switch e {
		case 0:
			return nil
		case unix.EAGAIN, unix.EINTR:
		default:
			return e
		}
	}
}

// mincoreTruth finds out whether the kernel tells this process the truth about the
// file. Since Linux 5.2 it calls every page resident to one that neither owns
// the file nor may write it, so that page caches are no side channel (mincore(2)).
// A page far past the end of the file, which is in no cache, betrays that.
func (m *Mapping) mincoreTruth() error {
	switch m.truth.Load() {
	case truthTold:
		return nil
	case truthDenied:
		return errors.ErrUnsupported
	}
	told := false
	err := withFd(m.file, func(fd uintptr) error {
		var st unix.Stat_t
		if err := ignoringEINTR(func() error { return unix.Fstat(int(fd), &st) }); err != nil {
			return err
		}
		size, page := st.Size&^(pageSize()-1), pageSize()
		var p unsafe.Pointer
		err := error(unix.EOVERFLOW)
		// The largest folio that may straddle the end is 512 MiB; where files
		// cannot be as long as that, none is of more than 2 MiB.
		for _, past := range []int64{1 << 30, 4 << 20} {
			if p, err = unix.MmapPtr(int(fd), size+past, nil, uintptr(page), unix.PROT_READ, unix.MAP_SHARED); err == nil {
				break
			}
		}
		if err != nil {
			return err
		}
		defer func() { _ = unix.MunmapPtr(p, uintptr(page)) }()
		var v byte
		err = mincore(p, uintptr(page), &v)
		told = v&1 == 0
		return err
	})
	switch {
	case err == unix.EOVERFLOW || err == unix.EINVAL:
		// No page past the end to ask about: nothing to tell a lie by.
		m.truth.Store(truthDenied)
	case err != nil:
		return err
	case told:
		m.truth.Store(truthTold)
		return nil
	default:
		m.truth.Store(truthDenied)
	}
	return errors.ErrUnsupported
}
