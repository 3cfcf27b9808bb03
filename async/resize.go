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

// Close closes the file and always does so, whatever ctx says: as
// [core.File.Close] it waits for the operations that were accepted before it and
// for every pin, and holds no worker meanwhile. Operations after it answer
// [fs.ErrClosed], and so does a second Close; waits for locks end with the same.
// Requests to flush are served before, and a [Background] that has not been
// stopped flushes once more. Nothing else is flushed.
//
// When ctx is done first the future fails with its cause, and the closing goes
// on. Otherwise its error is that of unmapping and closing, or that of the
// background: the file is closed in any case.
func (f *File) Close(ctx context.Context) *Future[struct{}] {
	c := &closing{file: f, ctx: ctx, out: newPromise[struct{}]()}
	f.mu.Lock()
	if f.shut.Load() {
		f.mu.Unlock()
		return closed[struct{}](f, "close")
	}
	f.shut.Store(true)
	now := f.busy == 0
	if !now {
		f.idle = c.drain
	}
	f.mu.Unlock()
	f.endWaits()
	if now {
		c.drain()
	}
	c.watch()
	return c.out
}

// A closing is a Close under way. Each step is taken by whoever ended what the
// one before it waited for:
//
//	operations leave ──▶ background and batches flush ──▶ pins go ──▶ finishing
//	                     (in a goroutine, if they must)       (on lane Meta)
type closing struct {
	file *File
	ctx  context.Context
	out  *Future[struct{}]
	err  error // of the background

	mu      sync.Mutex   // guards what follows
	change  *core.Change // nil until StartClose has returned
	isReady bool         // which may be earlier
	stop    func() bool  // ends the watch on ctx; nil if there is none
}

// watch has ctx fail the future, if it is still pending.
func (c *closing) watch() {
	if c.ctx.Done() == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.state.Load() < held {
		c.stop = context.AfterFunc(c.ctx, func() { c.out.resolve(struct{}{}, context.Cause(c.ctx)) })
	}
}

// errBusy is the cause of a wait that is not to be one.
var errBusy = errors.New("async: not at once")

// drain has the committer serve what it has accepted.
func (c *closing) drain() {
	at, cancel := context.WithCancelCause(context.Background())
	cancel(errBusy)
	err := c.flushed(at)
	if !errors.Is(err, errBusy) {
		c.err = err
		c.start()
		return
	}
	go func() { // ends with the last flush of this file
		c.err = c.flushed(context.Background())
		c.start()
	}()
}

// flushed returns when nothing of the file is being flushed, or ctx is done.
func (c *closing) flushed(ctx context.Context) (err error) {
	if b := c.file.dirty.Load(); b != nil {
		if err = b.b.CloseContext(ctx); errors.Is(err, errBusy) {
			return err
		}
	}
	// What its members were told, nobody else needs to hear again.
	if done := c.file.committer.CloseContext(ctx); errors.Is(done, errBusy) {
		return done
	}
	return c.file.flushError(err)
}

func (c *closing) start() {
	change, err := c.file.core.StartClose(func(*core.Change) { c.ready() })
	if err != nil { // somebody has closed the file below
		c.file.unlock()
		c.over(err)
		return
	}
	c.mu.Lock()
	c.change = change
	both := c.isReady
	c.mu.Unlock()
	if both {
		c.submit()
	}
}

func (c *closing) ready() {
	c.mu.Lock()
	c.isReady = true
	both := c.change != nil
	c.mu.Unlock()
	if both {
		c.submit()
	}
}

// submit queues the last step. It cannot be refused: where the lane does not
// take it, it has a goroutine of its own, which ends when the file is closed.
func (c *closing) submit() {
	if err := c.file.pool.lane(LaneMeta).execute(opClose, c.finish); err != nil {
		go c.finish(nil)
	}
}

func (c *closing) finish(dropped error) {
	if dropped != nil {
		go c.finish(nil) // it is closed all the same
		return
	}
	c.file.unlock()
	err := c.change.Finish()
	if err == nil {
		err = c.err
	}
	c.over(err)
}

func (c *closing) over(err error) {
	c.out.resolve(struct{}{}, err)
	c.mu.Lock()
	stop := c.stop
	c.mu.Unlock()
	if stop != nil {
		stop()
	}
	c.file.hints.drop()
}
