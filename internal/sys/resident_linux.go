package sys

import (
	"golang.org/x/sys/unix"
)

// maxNowait is the number of pages that residentNowait looks at, as it makes a
// system call for each.
const maxNowait = 64

// residentNowait counts the pages of a range of whole pages where mincore is
// missing: it reads a byte of each that is in the page cache. Of one that is
// not the kernel begins to read the page and its neighbours, which is why this
// is not what resident does first. Memory that no file backs, private copies
// and longer ranges are unsupported.
func (m *Mapping) residentNowait(off, n int64) (pages, of int64, err error) {
	of = n / pageSize()
	if m.file == nil || m.access == Copy || of > maxNowait || m.truth.Load() == mincoreMasked {
		return 0, 0, CallMincore.unsupported()
	}
	err = control(m.file, func(fd uintptr) error {
		for at := off; at < off+n; at += pageSize() {
			in, err := readNowait(int(fd), m.offset+at)
			if err != nil {
				return err
			}
			pages += int64(in)
		}
		return nil
	})
	if err == unix.EOPNOTSUPP { // of this file system; what is known of mincore is now known of both
		m.truth.Store(mincoreMasked)
		err = CallReadNowait.unsupported()
	}
	if err != nil {
		return 0, 0, err
	}
	return pages, of, nil
}

// readNowait returns 1 if the byte at off is in memory, else 0.
func readNowait(fd int, off int64) (in int, err error) {
	var b [1]byte
	read := func(fd int) (err error) {
		in, err = unix.Preadv2(fd, [][]byte{b[:]}, off, unix.RWF_NOWAIT)
		return err
	}
	err = CallReadNowait.try(
		func() error { return retryEINTR(func() error { return read(fd) }) },
		func() error { return read(-1) },
	)
	if err == unix.EAGAIN {
		return 0, nil
	}
	return max(in, 0), err
}
