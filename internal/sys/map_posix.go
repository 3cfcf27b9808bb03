//go:build unix && !linux

package sys

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

func granularityOf(*os.File, fs.FileInfo) int64 { return granularity() }

// unlockReserve has nothing to do where memory that nothing may access is not
// brought in by mlockall(2).
func (m *Mapping) unlockReserve() {}

// unmappable tells the errno of a file that has no mmap from other errors.
func unmappable(_ *os.File, err error) error {
	if err == unix.ENODEV {
		return errors.ErrUnsupported
	}
	return unsupported(err)
}

// sync writes the pages to the file and then the file to the device: outside Linux
// msync(2) alone promises neither the file's length nor the drive's cache. os.File.Sync
// is F_FULLFSYNC on Darwin.
func (m *Mapping) sync(off, n int64) error {
	if m.file == nil || m.access == Copy {
		return nil
	}
	if err := m.msync(off, n); err != nil {
		return err
	}
	if m.access != ReadWrite && !syncsReadOnly {
		return nil
	}
	return syncFile(m.file)
}

// discard clears the pages first and then lets the kernel drop them: they read
// as zeros whether or not it does.
func (m *Mapping) discard(off, n int64) error {
	if m.file != nil || off < 0 || n < 0 || off > m.size {
		return unix.EINVAL
	}
	n = min(n, m.size-off)
	clear(m.bytes(off, n))
	if from, length, _ := m.pageInward(off, n); length > 0 && madvFree >= 0 {
		_ = unix.Madvise(m.bytes(from, length), madvFree)
	}
	return nil
}

func (m *Mapping) populate(off, n int64, write bool) error {
	from, length, ok := m.pageOutward(off, n)
	if !ok {
		return unix.EINVAL
	}
	if n == 0 {
		return nil
	}
	if write && m.access != ReadWrite && m.access != Copy {
		return unix.EACCES
	}
	return m.populateByHand(from, length, write)
}

// allocateUnder does nothing, so that a touch may find the disk full: every call
// here that allocates may also change the file's length.
func (m *Mapping) allocateUnder(int64, int64) error { return nil }

// madvise is the number of an advice, or -1.
func madvise(a Advice) int {
	switch a {
	case Normal:
		return unix.MADV_NORMAL
	case Random:
		return unix.MADV_RANDOM
	case Sequential:
		return unix.MADV_SEQUENTIAL
	case WillNeed:
		return unix.MADV_WILLNEED
	case DontNeed:
		return unix.MADV_DONTNEED
	case Free:
		return madvFree
	case DontDump:
		return madvDontDump
	case DoDump:
		return madvDoDump
	case PageOut:
		return madvPageOut
	}
	return -1
}

func (m *Mapping) advise(a Advice, off, n int64) error {
	switch a {
	case PopulateRead:
		return m.populate(off, n, false)
	case PopulateWrite:
		return m.populate(off, n, true)
	}
	advice := madvise(a)
	if advice < 0 {
		return errors.ErrUnsupported
	}
	widen := m.pageOutward
	if a == Free || a == DontNeed && (m.file == nil || m.access == Copy) {
		// These lose bytes, which must be no others than those named.
		widen = m.pageInward
	}
	from, length, ok := widen(off, n)
	if !ok {
		return unix.EINVAL
	}
	if length == 0 {
		return nil
	}
	if a == WillNeed && m.file != nil && m.readAdvise(from, length) == nil {
		return nil
	}
	return refusedAdvice(retryEINTR(func() error { return unix.Madvise(m.bytes(from, length), advice) }))
}

// residentNowait has no system call here; mincore is missing only in tests.
func (m *Mapping) residentNowait(int64, int64) (pages, of int64, err error) {
	return 0, 0, CallMincore.unsupported()
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
