package core

import (
	"slices"

	"github.com/fmmap-go/fmmap/internal/bounds"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// Advice is a hint about how bytes will be used, see [File.Advise].
type Advice uint8

const (
	AdviceNormal        = Advice(sys.Normal)        // no special treatment
	AdviceRandom        = Advice(sys.Random)        // expect random order: no read-ahead, and small folios in the page cache
	AdviceSequential    = Advice(sys.Sequential)    // expect ascending order: more read-ahead
	AdviceWillNeed      = Advice(sys.WillNeed)      // start reading the bytes now and wait for nothing
	AdviceDontNeed      = Advice(sys.DontNeed)      // drop the pages; private changes and anonymous bytes are lost
	AdviceFree          = Advice(sys.Free)          // anonymous memory: the bytes may be dropped when memory is short
	AdviceRemove        = Advice(sys.Remove)        // free the backing store: the bytes become zero
	AdviceDontFork      = Advice(sys.DontFork)      // a child process does not inherit the mapping
	AdviceDoFork        = Advice(sys.DoFork)        // undoes DontFork
	AdviceMergeable     = Advice(sys.Mergeable)     // equal pages may share memory
	AdviceUnmergeable   = Advice(sys.Unmergeable)   // undoes Mergeable
	AdviceHuge          = Advice(sys.Huge)          // use transparent huge pages
	AdviceNoHuge        = Advice(sys.NoHuge)        // do not
	AdviceDontDump      = Advice(sys.DontDump)      // leave out of core dumps
	AdviceDoDump        = Advice(sys.DoDump)        // undoes DontDump
	AdviceCold          = Advice(sys.Cold)          // first to be reclaimed
	AdvicePageOut       = Advice(sys.PageOut)       // reclaim now
	AdviceCollapse      = Advice(sys.Collapse)      // put into huge pages now
	AdvicePopulateRead  = Advice(sys.PopulateRead)  // bring in for loads; waits
	AdvicePopulateWrite = Advice(sys.PopulateWrite) // bring in for stores, allocating blocks; waits
)

func (a Advice) sys() sys.Advice { return sys.Advice(a) }

// sticky reports whether the kernel remembers the advice with the mapping. Other
// advice is carried out at once.
func (a Advice) sticky() bool {
	switch a {
	case AdviceNormal, AdviceRandom, AdviceSequential, AdviceDontFork, AdviceDoFork, AdviceMergeable,
		AdviceUnmergeable, AdviceHuge, AdviceNoHuge, AdviceDontDump, AdviceDoDump:
		return true
	}
	return false
}

// needsWrite reports whether the advice may change bytes, as a store does.
func (f *File) needsWrite(a Advice) bool {
	return a == AdviceFree || a == AdviceRemove || a == AdvicePopulateWrite || a == AdviceDontNeed && (f.file == nil || f.access == CopyOnWrite)
}

// Advise tells the kernel how the bytes [off, off+n) of the window will be used,
// see [madvise(2)]. An advice that the platform, the kernel or this kind of memory
// does not have returns [errors.ErrUnsupported], as does any on heap memory. One
// that changes bytes returns [ErrReadOnly] where a store would.
//
// An advice that the kernel remembers is best given for the whole window: for a
// part of it the kernel splits the mapping, and each part costs a device flush of
// its own when it is flushed. What is given for the whole window also holds for
// what the window grows by.
//
// AdviceRandom has a price on Linux with the multi-generational LRU
// (/sys/kernel/mm/lru_gen/enabled): touching a page of such a mapping does not
// make it young, so that pages in use are evicted like unused ones. Where the
// file does not fit into memory, measure it against AdviceNormal.
//
// [madvise(2)]: https://man7.org/linux/man-pages/man2/madvise.2.html
func (f *File) Advise(a Advice, off, n int64) error {
	g, s, err := f.enter()
	if err != nil {
		return f.fail("advise", err)
	}
	defer f.leave(g.epoch, s)
	if !bounds.Within(off, n, int64(len(g.data))) {
		return f.fail("advise", ErrRange)
	}
	return f.adviseIn(g.region, a, off, n, n == int64(len(g.data)))
}

// Order returns the order of accesses that the advice leads to expect:
// AdviceRandom, AdviceSequential or AdviceNormal, whichever was last given for the
// whole window, or AdviceRandom if that has since been given for a part of it.
func (f *File) Order() Advice { return Advice(f.order.Load()) }

// noteOrder records advice that has been given, for Order.
func (f *File) noteOrder(a Advice, whole bool) {
	if a == AdviceRandom || whole && (a == AdviceNormal || a == AdviceSequential) {
		f.order.Store(uint32(a))
	}
}

func (f *File) adviseIn(r *region, a Advice, off, n int64, whole bool) error {
	const op = "advise"
	switch {
	case a > AdvicePopulateWrite:
		return f.fail(op, ErrRange)
	case f.needsWrite(a) && f.gen.Load().readOnly:
		return f.fail(op, ErrReadOnly)
	case r.heap != nil:
		return f.fail(op, errNoFile)
	case whole && a.sticky():
		return f.fail(op, f.adviseWhole(a))
	case r.m == nil || n == 0:
		return nil
	}
	switch a {
	case AdviceDontNeed, AdvicePageOut, AdviceRemove, AdviceFree:
		defer f.stores.recent.forget()
		defer f.gen.Load().forgetSeen(off, n)
	}
	err := r.m.Advise(a.sys(), r.delta+off, n)
	if err == nil {
		f.noteOrder(a, false)
	}
	return f.fail(op, r.fault(err, off))
}

// adviseWhole gives a sticky advice to the whole window and to the regions that
// it moves to. The region is looked up, and the advice recorded, under mu, so
// that a window that moves meanwhile takes it along. The reservation gets it too,
// or the mapping would be split where that begins.
func (f *File) adviseWhole(a Advice) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.gen.Load().region.m; m != nil {
		if err := m.Advise(a.sys(), 0, m.Room()); err != nil {
			return err
		}
	}
	f.noteOrder(a, true)
	f.advice = append(slices.DeleteFunc(f.advice, func(b Advice) bool { return b == a }), a)
	return nil
}

// adviseAll gives a new region the advice for the whole window. Callers hold mu.
func (f *File) adviseAll(r *region) {
	if r.m == nil {
		return
	}
	for _, a := range f.advice {
		_ = r.m.Advise(a.sys(), 0, r.m.Room()) // a hint
	}
}
