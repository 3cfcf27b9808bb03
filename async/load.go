package async

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/fmmap-go/fmmap/core"
)

// PageIn brings the bytes [off, off+n) of the window into memory. When it has
// succeeded, every page of them was resident at some instant after the call
// began, or at most 0.8 s before it: for that long the file trusts what it has
// seen, which saves the system call. The kernel may evict any of them again
// later. To be sure that they stay mapped as well, use Load.
//
// If the bytes are resident the future has resolved when PageIn returns.
// Otherwise the caller starts the read, if the device takes it at once, and the
// pager of the device waits for it. A range outside the window fails with
// [core.ErrRange], and pages that are not available, because another process
// made the file shorter or the device fails, with [core.ErrFault].
//
// A page fault reads the pages around it too, and so does a short request, behind
// all that wait: at first the aligned 64 KiB around it, and up to 1 MiB as its
// neighbors turn out to be asked for, or up to 2 MiB after [core.AdviceSequential]
// for the whole window, or up to 4 MiB of a device that reads 512 MiB/s. Nothing
// is read around a request after [core.AdviceRandom], where the neighbors are not
// asked for, and where an eighth of the memory is full of pages of the pool's
// files that were not.
func (f *File) PageIn(ctx context.Context, off, n int64) *Future[struct{}] {
	if ctx.Err() != nil {
		return Failed[struct{}](context.Cause(ctx))
	}
	if f.seen(off, n) {
		f.counters.countSeen()
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
	return fetch(ctx, f, opPageIn, pin, nothing, nil)
}

// nothing is what follows where it is enough that the pages are resident.
func nothing() (struct{}, error) { return struct{}{}, nil }

// Load pins the bytes [off, off+n) of the window and brings them into memory: a
// future of bytes that can be touched without waiting for a disk. The caller
// releases the pin. It is released for the caller if it arrives when ctx is
// done, or if the future is collected before any caller has taken it.
//
// If the bytes are resident the future has resolved when Load returns, and no
// other goroutine was involved; cold ones are brought in as by PageIn. Resident
// means resident when last probed: the kernel may evict a page at any time, and
// the file trusts for up to 0.8 s what it has seen, so that touching the bytes
// may in rare cases wait for a page after all.
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
	return fetch(ctx, f, opLoad, pin, func() (*core.Pin, error) { return pin, nil }, (*core.Pin).Release)
}

// TryLoad is Load for bytes that are resident, and otherwise does nothing and
// reports false: where a future of bytes that are there already costs too much.
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

// readStep is how many bytes a caller starts to read at once, and how far the
// reads of a long request are ahead of what the pager waits for.
const readStep = 2 << 20

// pagerStep is how many bytes of a long request the pager waits for before it
// turns to the next one.
const pagerStep = 256 << 10

// fetch has the pager bring in the bytes of a pin and then call then, whose
// outcome the future has. The pin is fetch's to release, unless it is the value
// of the future: then release is its Release method, and otherwise nil.
func fetch[T any](ctx context.Context, f *File, o op, pin *core.Pin, then func() (T, error), release func(T)) *Future[T] {
	if !f.ref() {
		pin.Release()
		return failClosed[T](f, o.String())
	}
	f.counters.cold.Add(1)
	began := time.Now()
	r, start := f.pool.pagers.enter(f, pin.Offset(), pin.Len())
	if start {
		r.read()
	}
	if pin.Len() > readStep {
		return fetchLong(ctx, f, o, r, began, pin, then, release)
	}
	p := &fileOp{file: f, request: r, pin: pin}
	return dispatchOp(ctx, r.lane, o, p, func(context.Context) (v T, err error) {
		if release == nil {
			defer pin.Release() // before the future resolves
		}
		r.turn()
		if err := pin.Populate(); err != nil {
			return v, err
		}
		f.pagedIn(began)
		f.readAround(r)
		return then()
	}, release)
}

// pagedIn notes that what was cold when it was requested has been brought in.
func (f *File) pagedIn(requested time.Time) {
	d := time.Since(requested)
	f.counters.pagedIn(d)
	f.pool.pagers.pageIn.Add(d, 1)
}

// fetchLong is fetch of more than a step, by a caller that holds a reference to f.
// Each step is a task of its own, with the reads of those behind it under way.
func fetchLong[T any](ctx context.Context, f *File, o op, r *request, began time.Time, pin *core.Pin, then func() (T, error), release func(T)) *Future[T] {
	out := newOwned(release)
	at, end := pin.Offset(), pin.Offset()+pin.Len()
	step := func() (done bool, err error) {
		r.turn()
		if next := at + readStep; next < end {
			_ = f.core.Advise(core.AdviceWillNeed, next, min(pagerStep, end-next))
		}
		err = f.core.Populate(at, min(pagerStep, end-at))
		if errors.Is(err, core.ErrRange) || errors.Is(err, fs.ErrClosed) {
			return true, pin.Populate() // the window ends before the pin does
		}
		at += pagerStep
		return at >= end, err
	}
	inSteps(ctx, r.lane, o, step, func(err error) {
		var v T
		if err == nil {
			f.pagedIn(began)
			v, err = then()
		}
		if release == nil || err != nil {
			pin.Release()
		}
		r.over()
		out.resolveFor(ctx, v, err)
		f.unref()
	})
	return out
}
