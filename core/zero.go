package core

import (
	"github.com/fmmap-go/fmmap/internal/bounds"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// Zero stores zeros into [off, off+n) of the window. The blocks of the file stay.
func (f *File) Zero(off, n int64) (err error) {
	u, err := f.begin(true)
	if err != nil {
		return f.fail("zero", err)
	}
	defer f.end("zero", &u, &err)
	if !bounds.Within(off, n, int64(len(u.g.data))) {
		return f.fail("zero", ErrRange)
	}
	if f.inPlace(off, n) || !f.storesByCall() {
		clear(u.g.data[off : off+n])
		return nil
	}
	for end := off + n; off < end; {
		part := zeros[:min(end-off, int64(len(zeros)))]
		if _, err := f.store("zero", u.g, part, off); err != nil {
			return err
		}
		off += int64(len(part))
	}
	return nil
}

// PunchHole makes [off, off+n) of the window read as zero and frees the blocks
// that lie wholly within it, or the memory of an anonymous mapping. The length
// stays. A store into the hole needs a block again, and faults when the disk is
// full: see [Options].Sparse.
//
// A file that is not [ReadWrite] returns [ErrReadOnly], and a file system that
// cannot free blocks [errors.ErrUnsupported]. On heap memory PunchHole is Zero.
func (f *File) PunchHole(off, n int64) error {
	const op = "punch hole"
	g, s, err := f.enter()
	if err != nil {
		return f.fail(op, err)
	}
	defer f.leave(g.epoch, s)
	switch {
	case g.readOnly || f.access != ReadWrite:
		return f.fail(op, ErrReadOnly)
	case !bounds.Within(off, n, int64(len(g.data))):
		return f.fail(op, ErrRange)
	case n == 0:
		return nil
	case g.region.heap != nil:
		clear(g.data[off : off+n])
		return nil
	case f.file == nil:
		return f.fail(op, g.region.m.Discard(off, n))
	}
	defer f.stores.recent.forget() // the pages are gone
	defer g.forgetSeen(off, n)
	return f.fail(op, sys.PunchHole(f.file, f.opts.Offset+off, n))
}
