package async

import (
	"context"
	"errors"
	"sync"

	"github.com/fmmap-go/fmmap/core"
)

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
		if err = b.b.Stop(ctx); errors.Is(err, errBusy) {
			return err
		}
	}
	// What its members were told, nobody else needs to hear again.
	if done := c.file.committer.Close(ctx); errors.Is(done, errBusy) {
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
