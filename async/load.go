package async

import (
	"context"
	"errors"
	"io/fs"

	"github.com/fmmap-go/fmmap/core"
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
		f.counters.hint()
		return f.succeeded
	}
	pin, err := f.pin(off, n)
	if err != nil {
		return Failed[struct{}](err)
	}
	if f.probe(pin) {
		pin.Release()
		return f.succeeded
	}
	if !f.ref() {
		pin.Release()
		return failClosed[struct{}](f, "page-in")
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
	if !f.ref() {
		pin.Release()
		return failClosed[*core.Pin](f, "load")
	}
	f.counters.cold.Add(1)
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

// pin pins bytes of a file that is not closing.
func (f *File) pin(off, n int64) (*core.Pin, error) {
	if f.closing.Load() {
		return nil, f.pathError("pin", fs.ErrClosed)
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
	return f.pathError(op, err)
}

// The reads for a cold page are started by who wants it, and waited for by the
// pager: a worker of lane Page, of which there is one. So any number of reads
// are in flight at once, and while the pager sits in a system call it is one P
// that is not available, and not all of them. Touching the pages instead holds
// a P each for the time of a read, and populating them on many workers is
// bistable: the scheduler takes the P back from a system call of this length
// only now and then [go.dev/issue/28701].

// readStep is how many bytes are read at once: what the caller starts to read
// and the pager waits for before it looks whether somebody still wants the rest.
// Starting to read more than the device's queue holds would make the caller wait
// for it.
const readStep = 2 << 20

// willNeed starts to read the first bytes of a pin. What the system cannot start
// the pager reads.
func willNeed(f *core.File, pin *core.Pin) {
	if pin.Len() <= readStep {
		_ = pin.Advise(core.AdviceWillNeed)
		return
	}
	_ = f.Advise(core.AdviceWillNeed, pin.Offset(), readStep)
}

// fetch brings in the bytes of a pin and releases it, for an operation that has
// entered the file.
func (f *File) fetch(ctx context.Context, pin *core.Pin) *Future[struct{}] {
	f.counters.cold.Add(1)
	willNeed(f.core, pin)
	return dispatch(ctx, f, LanePage, opPageIn, pin, func(ctx context.Context) (struct{}, error) {
		err := f.bringIn(ctx, pin)
		pin.Release()
		return struct{}{}, err
	}, nil)
}

// fetchThen is fetch that has the pager call do as soon as the bytes are there.
func (f *File) fetchThen(ctx context.Context, pin *core.Pin, do func() (int, error)) *Future[int] {
	f.counters.cold.Add(1)
	willNeed(f.core, pin)
	return dispatch(ctx, f, LanePage, opRead, pin, func(ctx context.Context) (int, error) {
		defer pin.Release()
		if err := f.bringIn(ctx, pin); err != nil {
			return 0, err
		}
		return do()
	}, nil)
}

// bringIn waits on the pager until the bytes of a pin are in memory.
func (f *File) bringIn(ctx context.Context, pin *core.Pin) error {
	err := f.populate(ctx, pin)
	if err == nil {
		f.hints.set(pin, f.core.Len())
	}
	return err
}

// populate brings in the bytes of a pin step by step, each with the reads of the
// next one under way.
func (f *File) populate(ctx context.Context, pin *core.Pin) error {
	if pin.Len() <= readStep {
		return pin.Populate()
	}
	for at, end := pin.Offset(), pin.Offset()+pin.Len(); at < end; at += readStep {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if next := at + readStep; next < end {
			_ = f.core.Advise(core.AdviceWillNeed, next, min(readStep, end-next))
		}
		err := f.core.Populate(at, min(readStep, end-at))
		if errors.Is(err, core.ErrRange) || errors.Is(err, fs.ErrClosed) {
			return pin.Populate() // the window ends before the pin does
		}
		if err != nil {
			return err
		}
	}
	return nil
}
