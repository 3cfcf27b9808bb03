package sys

import (
	"math"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	growsUnderMap = true
	syncsReadOnly = true
	mapNoReserve  = unix.MAP_NORESERVE
	mapStack      = 0
	madvFree      = unix.MADV_FREE
	madvPageOut   = unix.MADV_PAGEOUT
	madvDontDump  = -1
	madvDoDump    = -1
)

// allocate uses F_PREALLOCATE, which allocates only past the end. Holes inside
// the file stay, so for a file that may have some it returns ENOTSUP.
func allocate(f *os.File, off, n int64) error {
	if CallFallocate.Missing() {
		return unix.ENOTSUP
	}
	if off < 0 || n < 0 || off > math.MaxInt64-n {
		return unix.EINVAL
	}
	return control(f, func(fd uintptr) error {
		var st unix.Stat_t
		if err := retryEINTR(func() error { return unix.Fstat(int(fd), &st) }); err != nil {
			return err
		}
		if end := off + n; end > st.Size {
			if err := preallocate(fd, end-st.Size); err != nil {
				return unsupported(err)
			}
			if err := retryEINTR(func() error { return unix.Ftruncate(int(fd), end) }); err != nil {
				return err
			}
		}
		if off < st.Size && st.Blocks*512 < st.Size {
			return unix.ENOTSUP
		}
		return nil
	})
}

// preallocate adds n bytes of blocks to the end of the file, contiguous ones if
// there are any.
func preallocate(fd uintptr, n int64) error {
	s := unix.Fstore_t{
		Flags:   unix.F_ALLOCATECONTIG | unix.F_ALLOCATEALL,
		Posmode: unix.F_PEOFPOSMODE,
		Length:  n,
	}
	if retryEINTR(func() error { return unix.FcntlFstore(fd, unix.F_PREALLOCATE, &s) }) == nil {
		return nil
	}
	s.Flags = unix.F_ALLOCATEALL
	return retryEINTR(func() error { return unix.FcntlFstore(fd, unix.F_PREALLOCATE, &s) })
}

// punchHole uses F_PUNCHHOLE for the whole blocks and writes zeroes beside
// them.
func punchHole(f *os.File, off, n int64) error {
	if off < 0 || n < 0 || off > math.MaxInt64-n {
		return unix.EINVAL
	}
	return control(f, func(fd uintptr) error {
		var st unix.Stat_t
		if err := retryEINTR(func() error { return unix.Fstat(int(fd), &st) }); err != nil {
			return err
		}
		block := max(int64(st.Blksize), 4096)
		end := min(off+n, st.Size)
		from, to := (off+block-1)/block*block, end/block*block
		if from >= to {
			return writeZeroes(int(fd), off, end)
		}
		// fpunchhole_t is two unused words, an offset and a length: the
		// beginning of fstore_t.
		hole := unix.Fstore_t{Offset: from, Length: to - from}
		if err := retryEINTR(func() error { return unix.FcntlFstore(fd, unix.F_PUNCHHOLE, &hole) }); err != nil {
			return unsupported(err)
		}
		if err := writeZeroes(int(fd), off, from); err != nil {
			return err
		}
		return writeZeroes(int(fd), to, end)
	})
}

// writeZeroes clears [from, to) of the file, less than two blocks.
func writeZeroes(fd int, from, to int64) error {
	if from >= to {
		return nil
	}
	for zero := make([]byte, to-from); len(zero) > 0; {
		n, err := unix.Pwrite(fd, zero, from)
		if err != nil && err != unix.EINTR {
			return err
		}
		n = max(n, 0)
		zero, from = zero[n:], from+int64(n)
	}
	return nil
}

// readAdvise starts reading a range of the file, by F_RDADVISE: MADV_WILLNEED
// cannot be relied on except at the start of a mapping.
func (m *Mapping) readAdvise(off, n int64) error {
	return control(m.file, func(fd uintptr) error {
		const step = 1 << 30 // the count is 32 bits wide
		for end := off + n; off < end; off += step {
			// In bounds: x/sys has fcntl with a pointer for fstore_t alone, and
			// the pad makes advice no smaller. Alive: advice is an argument of
			// the call, which keeps no pointer.
			var advice struct {
				unix.Radvisory_t
				_ unix.Fstore_t
			}
			advice.Offset, advice.Count = m.offset+off, int32(min(end-off, step))
			if err := unix.FcntlFstore(fd, unix.F_RDADVISE, (*unix.Fstore_t)(unsafe.Pointer(&advice))); err != nil {
				return err
			}
		}
		return nil
	})
}
