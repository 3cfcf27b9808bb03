package core

import (
	"github.com/fmmap-go/fmmap/internal/bounds"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// Resident counts the pages of [off, off+n) that are in memory at this moment,
// and all of them. Pages that lie partly in the range count. It returns
// [errors.ErrUnsupported] where the system has no such call or does not report
// the truth about this file.
func (f *File) Resident(off, n int64) (pages, of int64, err error) {
	g, s, err := f.enter()
	if err != nil {
		return 0, 0, f.fail("resident", err)
	}
	defer f.leave(g.epoch, s)
	if !bounds.Within(off, n, int64(len(g.data))) {
		return 0, 0, f.fail("resident", ErrRange)
	}
	return f.residentIn(g, off, n)
}

func (f *File) residentIn(g *generation, off, n int64) (pages, of int64, err error) {
	r := g.region
	if n == 0 {
		return 0, 0, nil
	}
	if r.m == nil {
		page := sys.PageSize()
		of = (off+n+page-1)/page - off/page
		return of, of, nil
	}
	pages, of, err = r.m.Resident(r.delta+off, n)
	if err == nil && pages == of {
		g.seen.key.Mark(off, n)
	}
	return pages, of, f.fail("resident", err)
}

// Seen reports whether all of the bytes [off, off+n) were seen in memory within the
// last 0.8 s: by Resident or Populate, by a copying read, or by package async. It
// makes no system call. The system may have evicted them since, and what was not
// seen may be there. Memory of the heap always counts as seen. What does not lie in
// the window never does.
func (f *File) Seen(off, n int64) bool {
	g, s, err := f.enter()
	if err != nil {
		return false
	}
	defer f.leave(g.epoch, s)
	return bounds.Within(off, n, int64(len(g.data))) && g.seenLately(off, n)
}

// Populate brings the bytes [off, off+n) into memory inside a system call: the
// goroutine gives up its P while it waits, which it does not when it touches a
// cold page. A page that cannot be read is an [ErrFault]. What is in memory
// afterwards may be evicted again at any time.
func (f *File) Populate(off, n int64) error {
	g, s, err := f.enter()
	if err != nil {
		return f.fail("populate", err)
	}
	defer f.leave(g.epoch, s)
	if !bounds.Within(off, n, int64(len(g.data))) {
		return f.fail("populate", ErrRange)
	}
	return f.populateIn(g, off, n)
}

func (f *File) populateIn(g *generation, off, n int64) error {
	if g.region.m == nil || n == 0 {
		return nil
	}
	return f.fail("populate", g.populate(off, n))
}

// populate brings [off, off+n) of the window into memory inside a system call. A
// page that cannot be read is a *FaultError.
func (g *generation) populate(off, n int64) error {
	r := g.region
	if err := r.m.Populate(r.delta+off, n, false); err != nil {
		return r.fault(err, off)
	}
	g.seen.key.Mark(off, n)
	return nil
}

// LockMemory keeps the bytes [off, off+n) in memory, as mlock(2) does, within the
// limit of RLIMIT_MEMLOCK. On heap memory it returns [errors.ErrUnsupported].
// Locking a part of the window splits the mapping, as [File.Advise] does, and
// growing past [Options].Reserve moves the window and loses the lock.
//
// The limit of a memory cgroup is not looked at: to lock more than the cgroup may
// have brings the OOM killer, not an error.
func (f *File) LockMemory(off, n int64) error {
	return f.lockMemory(off, n, (*sys.Mapping).LockMemory)
}

// UnlockMemory undoes LockMemory.
func (f *File) UnlockMemory(off, n int64) error {
	return f.lockMemory(off, n, (*sys.Mapping).UnlockMemory)
}

func (f *File) lockMemory(off, n int64, call func(m *sys.Mapping, off, n int64) error) error {
	const op = "lock memory"
	g, s, err := f.enter()
	if err != nil {
		return f.fail(op, err)
	}
	defer f.leave(g.epoch, s)
	r := g.region
	switch {
	case !bounds.Within(off, n, int64(len(g.data))):
		return f.fail(op, ErrRange)
	case r.heap != nil:
		return f.fail(op, errNoFile)
	case n == 0:
		return nil
	}
	return f.fail(op, r.fault(call(r.m, r.delta+off, n), off))
}
