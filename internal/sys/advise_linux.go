package sys

import (
	"errors"

	"golang.org/x/sys/unix"
)

// advices holds the kernel's numbers; an [Advice] past its end is unknown.
var advices = [...]int{
	Normal:      unix.MADV_NORMAL,
	Random:      unix.MADV_RANDOM,
	Sequential:  unix.MADV_SEQUENTIAL,
	WillNeed:    unix.MADV_WILLNEED,
	DontNeed:    unix.MADV_DONTNEED,
	Free:        unix.MADV_FREE,
	Remove:      unix.MADV_REMOVE,
	DontFork:    unix.MADV_DONTFORK,
	DoFork:      unix.MADV_DOFORK,
	Mergeable:   unix.MADV_MERGEABLE,
	Unmergeable: unix.MADV_UNMERGEABLE,
	Huge:        unix.MADV_HUGEPAGE,
	NoHuge:      unix.MADV_NOHUGEPAGE,
	DontDump:    unix.MADV_DONTDUMP,
	DoDump:      unix.MADV_DODUMP,
	Cold:        unix.MADV_COLD,
	PageOut:     unix.MADV_PAGEOUT,
	Collapse:    unix.MADV_COLLAPSE,
}

func (m *Mapping) advise(a Advice, off, n int64) error {
	switch {
	case a == PopulateRead:
		return m.populate(off, n, false)
	case a == PopulateWrite:
		return m.populate(off, n, true)
	case int(a) >= len(advices):
		return errors.ErrUnsupported
	}
	widen := m.pageOutward
	if a == Remove || a == Free || a == DontNeed && (m.file == nil || m.access == Copy) {
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
	b := m.bytes(from, length)
	return refusedAdvice(tryMadvise(a, b))
}

// tryMadvise is madvise(2) as the optional call of the advice. EINVAL is also
// what a kernel without the advice returns, and what an advice that does not fit
// this memory gets: the probe tells the two apart.
func tryMadvise(a Advice, b []byte) error {
	c := callAdvice + Call(a)
	probe := func() error { return probeMadvise(advices[a]) }
	err := c.try(func() error {
		return retryTransient(func() error { return madviseCall(b, advices[a]) })
	}, probe)
	if err == unix.EINVAL {
		c.count()
		if probe() == unix.EINVAL {
			return c.refuse()
		}
	}
	return err
}

// probeMadvise gives the advice for no memory at all, which succeeds where the
// kernel knows it.
func probeMadvise(advice int) error {
	if _, _, e := unix.Syscall(unix.SYS_MADVISE, 0, 0, uintptr(advice)); e != 0 {
		return e
	}
	return nil
}
