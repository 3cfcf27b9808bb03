package async

import (
	"context"
	"errors"
	"io/fs"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/bounds"
)

// PageIn brings the bytes [off, off+n) of the window into memory. When it has
// succeeded, every page of them was resident at some instant after the call
// began, or not more than 0.8 s before it: for so long the file trusts what it
// has seen, which saves the system call. The kernel may take any of them away
// again later. To be sure that they stay mapped as well, use Load.
//
// Bytes that are resident resolve at once. For others the caller starts the
// reads and the pager waits for them. A range outside the window answers
// [core.ErrRange], pages that cannot be had, because the file was made shorter
// by somebody else or the device fails, [core.ErrFault].
func (f *File) PageIn(ctx context.Context, off, n int64) *Future[struct{}] {
	if ctx.Err() != nil {
		return Failed[struct{}](context.Cause(ctx))
	}
	if f.hinted(off, n) {
		f.hits.hint()
		return f.done
	}
	pin, err := f.pin(off, n)
	if err != nil {
		return Failed[struct{}](err)
	}
	if f.probe(pin) {
		pin.Release()
		return f.done
	}
	if !f.enter() {
		pin.Release()
		return closed[struct{}](f, "page-in")
	}
	return f.fetch(ctx, pin)
}

// Load pins the bytes [off, off+n) of the window and brings them into memory: a
// future of bytes that can be touched without waiting for a disk. The pin is the
// caller's to release. It is given back if it arrives when ctx is done, or if
// the future is collected before anybody has taken it.
//
// Bytes that are resident come at once, with no other goroutine involved, and
// cold ones as with PageIn. Resident means resident when it was last looked at:
// the kernel may evict a page at any time, and the file trusts for up to 0.8 s
// what it has seen, so that touching the bytes may in rare cases wait for a page
// after all.
func (f *File) Load(ctx context.Context, off, n int64) *Future[*core.Pin] {
	if ctx.Err() != nil {
		return Failed[*core.Pin](context.Cause(ctx))
	}
	pin, err := f.pin(off, n)
	if err != nil {
		return Failed[*core.Pin](err)
	}
	if f.resident(pin) {
		return readyOwned(pin, (*core.Pin).Release)
	}
	if !f.enter() {
		pin.Release()
		return closed[*core.Pin](f, "load")
	}
	f.hits.cold.Add(1)
	willNeed(f.core, pin)
	return dispatch(ctx, f, LanePage, opLoad, pin, func(ctx context.Context) (*core.Pin, error) {
		return pin, f.bringIn(ctx, pin)
	}, (*core.Pin).Release)
}

// TryLoad is Load for bytes that are resident, and otherwise does nothing and
// reports false: where a future of what is there already costs too much.
func (f *File) TryLoad(off, n int64) (p *core.Pin, ok bool) {
	pin, err := f.pin(off, n)
	if err != nil {
		return nil, false
	}
	if f.resident(pin) {
		return pin, true
	}
	pin.Release()
	return nil, false
}

// Advise tells the kernel how the bytes [off, off+n) of the window will be used,
// as [core.File.Advise] does, on the Page lane: some advice waits for the disk.
// Advice that takes pages away is better given here than to [File.Core], as the
// file then forgets that it has seen them.
func (f *File) Advise(ctx context.Context, a core.Advice, off, n int64) *Future[struct{}] {
	if !f.enter() {
		return closed[struct{}](f, "advise")
	}
	return dispatch(ctx, f, LanePage, opPageIn, nil, func(context.Context) (struct{}, error) {
		defer f.hints.drop() // whatever came of it
		return struct{}{}, f.core.Advise(a, off, n)
	}, nil)
}

// pin pins bytes of a file that is not closing.
func (f *File) pin(off, n int64) (*core.Pin, error) {
	if f.shut.Load() {
		return nil, f.fail("pin", fs.ErrClosed)
	}
	return f.core.Pin(off, n)
}

// check says what keeps [off, off+n) from being pinned: the range, or that the
// file is closed, here or below.
func (f *File) check(op string, off, n int64) error {
	pin, err := f.pin(off, n)
	if err == nil {
		pin.Release()
		return nil
	}
	if pe, ok := err.(*fs.PathError); ok {
		err = pe.Err
	}
	return f.fail(op, err)
}

// resident reports whether the bytes of a pin are, as far as it is known.
func (f *File) resident(pin *core.Pin) bool {
	if f.hints.has(pin.Offset(), pin.Len(), f.core.Len()) {
		f.hits.hint()
		return true
	}
	return f.probe(pin)
}

// hinted reports whether [off, off+n) lies in the window and was lately seen to
// be resident.
func (f *File) hinted(off, n int64) bool {
	size := f.core.Len()
	return bounds.Within(off, n, size) && !f.shut.Load() && f.hints.has(off, n, size)
}

// maxProbe bounds what the caller looks at, which takes 0.4 ms for a GiB.
const maxProbe = 1 << 30

// probe asks the system whether the bytes of a pin are resident. On Linux that is mincore, and not preadv2 with
// RWF_NOWAIT: that takes half as long for one page, but of one that is not there the kernel reads
// the neighbours too, whatever advice the mapping was given.
func (f *File) probe(pin *core.Pin) bool {
	if f.unprobed.Load() || pin.Len() > maxProbe {
		return false
	}
	pages, of, err := pin.Resident()
	if errors.Is(err, errors.ErrUnsupported) {
		f.unprobed.Store(true)
	}
	if err != nil || pages < of {
		return false
	}
	f.hints.set(pin, f.core.Len())
	f.hits.probe.Add(1)
	return true
}
