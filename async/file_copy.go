package async

import (
	"context"

	"github.com/fmmap-go/fmmap/core"
)

// copyInCaller is the most that the caller copies itself: it takes about as long
// as handing the work to another goroutine does.
const copyInCaller = 64 << 10

// ReadAt copies bytes of the window from off on into p, as [core.File.ReadAt]
// does: fewer than len(p) come with [io.EOF], and the future then has both. p
// belongs to the operation until the future has resolved, also when an Await of
// it has ended before.
//
// A few bytes that are resident are copied before ReadAt returns. Cold ones are
// brought in first, as by PageIn.
func (f *File) ReadAt(ctx context.Context, p []byte, off int64) *Future[int] {
	n := min(int64(len(p)), f.core.Len()-off)
	if off < 0 || n < 0 { // core knows what to answer
		n = 0
	}
	return f.copy(ctx, opRead, off, n, func() (int, error) { return f.core.ReadAt(p, off) })
}

// WriteAt copies p into the window at off, as [core.File.WriteAt] does: when p
// does not fit, nothing is written and the error is [core.ErrRange]. p belongs
// to the operation until the future has resolved.
//
// A few bytes of pages that are resident are copied before WriteAt returns. Cold
// pages are brought in first, also where p replaces them entirely. Nothing is
// durable before it has been flushed.
func (f *File) WriteAt(ctx context.Context, p []byte, off int64) *Future[int] {
	a := f.core.Access()
	if a == core.ReadOnly || a == core.ReadExec || off < 0 || off > f.core.Len()-int64(len(p)) { // as well
		return f.copy(ctx, opWrite, off, 0, func() (int, error) { return f.core.WriteAt(p, off) })
	}
	return f.copy(ctx, opWrite, off, int64(len(p)), func() (int, error) {
		n, err := f.core.WriteAt(p, off)
		if b := f.dirty.Load(); b != nil {
			b.MarkDirty(int64(n))
		}
		return n, err
	})
}

// copy calls do when the bytes [off, off+n) of the window are in memory.
func (f *File) copy(ctx context.Context, o op, off, n int64, do func() (int, error)) *Future[int] {
	switch {
	case ctx.Err() != nil:
		return Failed[int](context.Cause(ctx))
	case f.shut.Load():
		return closed[int](f, o.String())
	case n == 0:
		return outcome(do())
	}
	small := n <= copyInCaller
	if small && f.hinted(off, n) {
		f.hits.hint()
		return outcome(do())
	}
	pin, err := f.core.Pin(off, n)
	resident := err != nil || f.resident(pin) // a window that has just become shorter has do look again
	if err == nil && resident {
		pin.Release()
	}
	if resident && small {
		return outcome(do())
	}
	if !f.enter() {
		if !resident {
			pin.Release()
		}
		return closed[int](f, o.String())
	}
	task := func(context.Context) (int, error) { return do() }
	switch {
	case resident:
		return dispatch(ctx, f, Short, o, nil, task, nil)
	case small && o == opRead: // the pager itself, rather than one more hand-over
		return f.fetchThen(ctx, pin, do)
	}
	f.again()
	pages := f.fetch(ctx, pin)
	copied := Then(ctx, f.pool, pages, func(ctx context.Context, _ struct{}) (int, error) { return do() })
	e := &errand{file: f}
	e.w = e
	if !copied.subscribe(&e.callback) {
		e.resolved(0)
	}
	return copied
}
