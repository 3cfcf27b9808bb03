package async

import (
	"context"

	"github.com/fmmap-go/fmmap/core"
)

// copyInCaller is the most that the caller copies itself: it takes about as long
// as handing the work to another goroutine does.
const copyInCaller = 64 << 10

// ReadAt copies bytes of the window from off on into p, as [core.File.ReadAt]
// does: if there are fewer than len(p) the error is [io.EOF], and the future has
// both. p belongs to the operation until the future has resolved, also when an
// Await of it has ended before.
//
// A few bytes that are resident are copied before ReadAt returns. Cold ones are
// brought in first, as by PageIn.
func (f *File) ReadAt(ctx context.Context, p []byte, off int64) *Future[int] {
	n := min(int64(len(p)), f.core.Len()-off)
	if off < 0 || n < 0 {
		n = 0 // core reports the error
	}
	return transfer{f, opRead, p, off}.start(ctx, n)
}

// WriteAt copies p into the window at off, as [core.File.WriteAt] does: when p
// does not fit, nothing is written and the error is [core.ErrRange]. p belongs
// to the operation until the future has resolved.
//
// A few bytes are copied before WriteAt returns where the pages are known to be
// writable at that moment, from stores of the last 0.1 s. Otherwise the store is
// a system call ([core.File.WriteAtCall]) on a lane that the device has for
// stores: it may have to wait, for the page or for a file system that is frozen
// or behind with its writing, and no read waits for it. Nothing is durable
// before it has been flushed. A goroutine that waits for its store anyway is
// spared the way to the lane and back if it calls WriteAtCall itself.
func (f *File) WriteAt(ctx context.Context, p []byte, off int64) *Future[int] {
	n := int64(len(p))
	a := f.core.Access()
	if a == core.ReadOnly || a == core.ReadExec || off < 0 || off > f.core.Len()-n {
		n = 0 // core reports the error
	}
	return transfer{f, opWrite, p, off}.start(ctx, n)
}

// A transfer is a ReadAt or a WriteAt.
type transfer struct {
	file *File
	op   op
	p    []byte
	off  int64
}

// copy copies the bytes, whether or not they are resident.
func (t transfer) copy() (int, error) {
	if t.op == opRead {
		return t.file.core.ReadAt(t.p, t.off)
	}
	n, err := t.file.core.WriteAt(t.p, t.off)
	t.stored(n)
	return n, err
}

// start copies n bytes that lie in the window, once they are in memory.
func (t transfer) start(ctx context.Context, n int64) *Future[int] {
	f := t.file
	small := n <= copyInCaller
	switch {
	case ctx.Err() != nil:
		return Failed[int](context.Cause(ctx))
	case f.closing.Load():
		return failClosed[int](f, t.op.String())
	case n == 0:
		return outcome(t.copy())
	case t.op == opWrite && !f.memoryOnly:
		return t.store(ctx, small)
	case small && f.seen(t.off, n):
		f.counters.countSeen()
		return outcome(t.copy())
	}
	pin, err := f.core.Pin(t.off, n)
	if err != nil { // the window has just changed: there may be nothing to copy
		return t.copyWarm(ctx)
	}
	if !f.resident(pin) {
		return t.copyCold(ctx, pin, small)
	}
	pin.Release()
	if small {
		return outcome(t.copy())
	}
	return t.copyWarm(ctx)
}

// store stores the bytes of a file: at once if that cannot wait, and else on the
// lane for stores to the device.
func (t transfer) store(ctx context.Context, small bool) *Future[int] {
	f := t.file
	if small {
		ok, err := f.core.TryWriteAt(t.p, t.off)
		if ok || err != nil {
			n := 0
			if ok {
				n = len(t.p)
				f.counters.countSeen()
				t.stored(n)
			}
			return outcome(n, err)
		}
	}
	if !f.ref() {
		return failClosed[int](f, t.op.String())
	}
	f.counters.cold.Add(1)
	r := f.pool.pagers.enterStore(f)
	if len(t.p) <= readStep {
		store := func(context.Context) (int, error) {
			n, err := f.core.WriteAtCall(t.p, t.off)
			t.stored(n)
			return n, err
		}
		return dispatchOp(ctx, r.lane, t.op, &fileOp{file: f, request: r}, store, nil)
	}
	// Until all is stored no byte of it is to be cut off.
	pin, err := f.core.Pin(t.off, int64(len(t.p)))
	if err != nil { // the window has just changed
		r.over()
		f.unref()
		return t.copyWarm(ctx)
	}
	out := newPromise[int]()
	done := 0
	step := func() (bool, error) {
		n, err := f.core.WriteAtCall(t.p[done:min(len(t.p), done+readStep)], t.off+int64(done))
		done += n
		t.stored(n)
		return done == len(t.p), err
	}
	inSteps(ctx, r.lane, t.op, step, func(err error) {
		pin.Release()
		r.over()
		out.resolve(done, err)
		f.unref()
	})
	return out
}

// stored reports n stored bytes to the file's Background, if it has one.
func (t transfer) stored(n int) {
	if b := t.file.background.Load(); b != nil {
		b.MarkDirty(int64(n))
	}
}

// copyWarm copies on the Short lane what is too much for the caller.
func (t transfer) copyWarm(ctx context.Context) *Future[int] {
	if !t.file.ref() {
		return failClosed[int](t.file, t.op.String())
	}
	return dispatch(ctx, t.file, LaneShort, t.op, func(context.Context) (int, error) { return t.copy() })
}

// copyCold copies when the bytes of a pin, which it releases, have been brought
// in. The pager itself copies a few bytes out of the window, which costs less
// than a hand-over.
func (t transfer) copyCold(ctx context.Context, pin *core.Pin, small bool) *Future[int] {
	f := t.file
	if small && t.op == opRead {
		return fetch(ctx, f, t.op, pin, t.copy, nil)
	}
	if !f.ref() { // until the copy is done, which is after the fetch
		pin.Release()
		return failClosed[int](f, t.op.String())
	}
	pages := fetch(ctx, f, t.op, pin, nothing, nil)
	copied := Then(ctx, f.pool, pages, func(context.Context, struct{}) (int, error) { return t.copy() })
	onResolved(copied, f.unref)
	return copied
}

// CopyTo copies n bytes from off on to a new file, as [core.File.CopyTo] does, on
// workers that the lane Meta has for copies alone: nothing else waits for a copy.
// Each step of a long one is queued behind what has come meanwhile. When ctx is
// done before the last step, nothing of the copy is left and the future fails
// with the context's cause.
func (f *File) CopyTo(ctx context.Context, name string, off, n int64) *Future[struct{}] {
	if ctx.Err() != nil {
		return Failed[struct{}](context.Cause(ctx))
	}
	if !f.ref() {
		return failClosed[struct{}](f, opCopy.String())
	}
	out := newPromise[struct{}]()
	var c *core.Copy
	step := func() (done bool, err error) {
		if c == nil {
			c, err = f.core.StartCopy(name, off, n)
			return false, err
		}
		return c.Step()
	}
	inSteps(ctx, f.pool.copies, opCopy, step, func(err error) {
		if c != nil {
			c.Cancel() // does nothing to a copy that is complete
		}
		out.resolve(struct{}{}, err)
		f.unref()
	})
	return out
}
