package async

import (
	"context"
	"errors"

	"github.com/fmmap-go/fmmap/core"
)

// Truncate sets the length of the file to size bytes, as [core.File.Truncate]
// does. Shrinking makes new operations see the new length at once, and waits for
// the pins that reach beyond it; while it waits it holds no worker. When ctx is
// done before a shrink has begun to cut the file, or before the longer window
// shows, nothing has changed and the future fails with the context's cause.
func (f *File) Truncate(ctx context.Context, size int64) *Future[struct{}] {
	switch {
	case ctx.Err() != nil:
		return Failed[struct{}](context.Cause(ctx))
	case f.closing.Load():
		return failClosed[struct{}](f, "truncate")
	}
	r := &resizing{file: f, ctx: ctx, out: newPromise[struct{}]()}
	c, err := f.core.StartTruncate(size, r.ready)
	if err != nil {
		return Failed[struct{}](err)
	}
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { r.cancel(c, context.Cause(ctx)) })
		onResolved(r.out, func() { stop() })
	}
	return r.out
}

// A resizing is a Truncate under way:
//
//	waiting for pins ──ready──▶ queued in Meta ──▶ finishing ──▶ resolved
//	        └───────ctx──────────────┴──ctx, lane full or closed──▲
//
// Whatever ends it before it is finishing does so through Change.Cancel, which
// succeeds once. The change must be ended, since later ones wait for it.
type resizing struct {
	file *File
	ctx  context.Context
	out  *Future[struct{}]
}

// ready queues the rest, which waits for nothing. It is called by core.
func (r *resizing) ready(c *core.Change) {
	finish := func(dropped error) { r.finish(c, dropped) }
	if err := r.file.pool.execute(LaneMeta, opTruncate, finish); err != nil {
		finish(err)
	}
}

// finish runs on the Meta lane, or in its place if that has refused or dropped
// it.
func (r *resizing) finish(c *core.Change, dropped error) {
	if dropped == nil {
		dropped = context.Cause(r.ctx)
	}
	if dropped != nil && r.cancel(c, dropped) {
		return
	}
	err := c.FinishContext(r.ctx) // without work if it has been canceled
	cause := context.Cause(r.ctx)
	if cause != nil && (errors.Is(err, context.Canceled) || errors.Is(err, cause)) {
		err = cause
	}
	r.resolve(err)
}

// cancel ends a change that is not finishing yet and reports whether it was the
// first to end it.
func (r *resizing) cancel(c *core.Change, cause error) bool {
	if !c.Cancel() {
		return false
	}
	r.resolve(cause)
	return true
}

func (r *resizing) resolve(err error) {
	r.out.resolve(struct{}{}, err)
}

// Close closes the file and blocks until that is done: as [core.File.Close] it
// waits for the operations that were accepted before it and for every pin.
// Operations after it fail with [fs.ErrClosed], and so does a second Close;
// waits for locks end with the same. Requests to flush are served before, and a
// [Background] that has not been closed flushes once more. Nothing else is
// flushed.
//
// The error is that of unmapping and closing, or that of the background: the
// file is closed in any case. Do not call Close in a task, nor while holding a
// pin that only the same goroutine releases: see [File.StartClose].
func (f *File) Close() error { return f.CloseContext(context.Background()) }

// CloseContext is like [File.Close], except that it returns context.Cause(ctx)
// when ctx is done first. The closing goes on.
func (f *File) CloseContext(ctx context.Context) error { return f.StartClose(ctx).Wait() }

// StartClose begins what [File.Close] does, and holds no goroutine while it
// waits for operations, flushes and pins. When ctx is done first the future
// fails with its cause, and the closing goes on.
func (f *File) StartClose(ctx context.Context) *Future[struct{}] {
	c := &closing{file: f, out: newPromise[struct{}]()}
	f.mu.Lock()
	if f.closing.Load() {
		f.mu.Unlock()
		return failClosed[struct{}](f, "close")
	}
	f.closing.Store(true)
	idle := f.refs == 0
	if !idle {
		f.onIdle = c.closeBackground
	}
	f.mu.Unlock()
	f.cancelWaits()
	if idle {
		c.closeBackground()
	}
	failWhenDone(ctx, c.out)
	return c.out
}

// A closing is a Close under way. Each step is taken by the goroutine that ended
// what the step before it waited for, and blocks it for nothing:
//
//	operations ──▶ background ──▶ batches ──▶ pins ──▶ finishing
//	                                                   (on Pool.closings)
type closing struct {
	file *File
	out  *Future[struct{}]
	err  error // of the background
}

func (c *closing) closeBackground() {
	b := c.file.background.Load()
	if b == nil {
		c.closeCommitter()
		return
	}
	b.b.StartClose(func(err error) {
		c.err = c.file.flushError(err)
		c.closeCommitter()
	})
}

// closeCommitter ignores the error of a batch, which its members have received.
func (c *closing) closeCommitter() {
	c.file.flushes().StartClose(func(error) { c.closeCore() })
}

func (c *closing) closeCore() {
	if _, err := c.file.core.StartClose(c.ready); err != nil { // the file below is closed already
		c.file.releaseLocks()
		c.resolve(err)
	}
}

// ready queues the last step. It cannot be refused: where the lane does not
// accept it, it has a goroutine of its own, which ends when the file is closed.
// It is called by core.
func (c *closing) ready(change *core.Change) {
	finish := func(dropped error) {
		if dropped != nil {
			go c.finish(change)
			return
		}
		c.finish(change)
	}
	if err := executeIn(c.file.pool.closings, opClose, finish); err != nil {
		finish(err)
	}
}

func (c *closing) finish(change *core.Change) {
	c.file.releaseLocks()
	err := change.Finish()
	if err == nil {
		err = c.err
	}
	c.resolve(err)
}

func (c *closing) resolve(err error) {
	c.file.around.Load().forget(&c.file.pool.pagers)
	c.out.resolve(struct{}{}, err)
}
