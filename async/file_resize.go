package async

import (
	"context"
	"errors"
	"sync"

	"github.com/fmmap-go/fmmap/core"
)

// Truncate sets the length of the file to size bytes, as [core.File.Truncate]
// does. Shrinking makes new operations see the new length at once, and waits for
// the pins that reach beyond it; while it waits it holds no worker. When ctx is
// done before the length has begun to change, nothing has changed and the future
// fails with the context's cause.
func (f *File) Truncate(ctx context.Context, size int64) *Future[struct{}] {
	switch {
	case ctx.Err() != nil:
		return Failed[struct{}](context.Cause(ctx))
	case f.shut.Load():
		return closed[struct{}](f, "truncate")
	}
	r := &resize{file: f, ctx: ctx, out: newPromise[struct{}](), had: f.core.Len()}
	c, err := f.core.StartTruncate(size, func(*core.Change) { r.ready() })
	if err != nil {
		return Failed[struct{}](err)
	}
	r.started(c)
	return r.out
}

// A resize is a Truncate under way:
//
//	waiting for pins ──ready──▶ queued in Meta ──▶ finishing ──▶ over
//	        └───────ctx──────────────┴──ctx, lane full or closed──▲
//
// What ends it before it is finishing gets hold of the change with Cancel, so
// that of two only one does. It must be ended: later changes wait for it.
type resize struct {
	file *File
	ctx  context.Context
	out  *Future[struct{}]
	had  int64 // length of the window before

	mu      sync.Mutex   // guards what follows
	change  *core.Change // nil until StartTruncate has returned
	isReady bool         // which may be earlier
	stop    func() bool  // ends the watch on ctx; nil if there is none
}

// ready is called by core, once.
func (r *resize) ready() {
	r.mu.Lock()
	r.isReady = true
	both := r.change != nil
	r.mu.Unlock()
	if both {
		r.submit()
	}
}

// started is called when StartTruncate has returned.
func (r *resize) started(c *core.Change) {
	r.mu.Lock()
	r.change = c
	both := r.isReady
	if !both && r.ctx.Done() != nil {
		// Under mu, so that giveUp and submit find stop. AfterFunc calls
		// nothing itself.
		r.stop = context.AfterFunc(r.ctx, r.giveUp)
	}
	r.mu.Unlock()
	if both {
		r.submit()
	}
}

// giveUp is called when ctx is done.
func (r *resize) giveUp() {
	if r.change.Cancel() {
		r.over(context.Cause(r.ctx))
	}
}

// submit queues the rest, which waits for nothing.
func (r *resize) submit() {
	if err := r.file.pool.lane(LaneMeta).execute(opTruncate, r.finish); err != nil {
		r.finish(err)
	}
}

// finish runs on the Meta lane, or in its place if that has not taken or has
// dropped it.
func (r *resize) finish(dropped error) {
	if dropped == nil && r.ctx.Err() != nil {
		dropped = context.Cause(r.ctx)
	}
	if dropped != nil && r.change.Cancel() {
		r.over(dropped)
		return
	}
	err := r.change.Finish() // at once, if it is dropped: there is nothing left to cancel
	if errors.Is(err, context.Canceled) {
		return // giveUp has been here, and says why
	}
	r.over(err)
}

func (r *resize) over(err error) {
	r.mu.Lock()
	stop := r.stop
	r.mu.Unlock()
	if stop != nil {
		stop()
	}
	if r.file.core.Len() <= r.had {
		r.file.hints.drop()
	}
	r.out.resolve(struct{}{}, err)
}
