package async

import (
	"context"
	"sync/atomic"
	"time"
)

// A taskContext is what a task gets as its context: the one it was submitted
// with, which also ends when the pool does (cause ErrClosed) and when the task
// has returned, and which knows the lane that the task occupies.
//
// It lives inside the task. Deriving a context for each task would cost more
// than spawning one, and most never look: so the derived context is made when
// Done is first asked for.
type taskContext struct {
	parent context.Context
	lane   *lane
	link   atomic.Pointer[contextLink] // nil until derived; finished at last
}

// A contextLink is the derived context of a task.
type contextLink struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	unhook func() bool // from the pool's end; nil if there is none
	over   atomic.Bool // the task has returned
}

// finished is the link of every task that returned without having derived a
// context: one that has ended. It never changes.
var finished = newFinished()

func newFinished() *contextLink {
	link := new(contextLink)
	link.ctx, link.cancel = context.WithCancelCause(context.Background())
	link.end()
	return link
}

// end cancels the derived context and detaches it from the pool's.
func (k *contextLink) end() {
	k.over.Store(true)
	if k.unhook != nil {
		k.unhook()
	}
	k.cancel(context.Canceled)
}

// laneKey is the context key under which a task's context gives its lane.
type laneKey struct{}

// laneOf returns the lane whose worker runs the task that ctx belongs to, or
// nil if it belongs to none.
func laneOf(ctx context.Context) *lane {
	l, _ := ctx.Value(laneKey{}).(*lane)
	return l
}

// Deadline is the submitter's.
func (c *taskContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }

// Done derives the context if that has not been done.
func (c *taskContext) Done() <-chan struct{} { return c.derived().Done() }

// Err is not nil once Done is closed, or would be.
func (c *taskContext) Err() error {
	if link := c.link.Load(); link != nil {
		return link.ctx.Err()
	}
	if err := c.parent.Err(); err != nil {
		return err
	}
	if c.lane.pool.ended() {
		return context.Canceled
	}
	return nil
}

// Value is the submitter's, but for the lane. Package context asks for the
// derived context this way too, when it makes children and looks for causes.
func (c *taskContext) Value(key any) any {
	link := c.link.Load()
	if _, ok := key.(laneKey); ok {
		if link != nil && link.over.Load() {
			return nil // a task that has returned occupies nothing
		}
		return c.lane
	}
	switch {
	case link == finished:
		return c.parent.Value(key)
	case link != nil:
		return link.ctx.Value(key)
	case c.lane.pool.ended():
		return c.derived().Value(key)
	}
	return c.parent.Value(key)
}

// derived returns the derived context, making it if need be.
func (c *taskContext) derived() context.Context {
	if link := c.link.Load(); link != nil {
		return link.ctx
	}
	link := new(contextLink)
	link.ctx, link.cancel = context.WithCancelCause(c.parent)
	p := c.lane.pool
	switch {
	case p.ended():
		link.cancel(ErrClosed)
	case p.ctx != nil:
		link.unhook = context.AfterFunc(p.ctx, func() { link.cancel(ErrClosed) })
	}
	if !c.link.CompareAndSwap(nil, link) { // another goroutine was first, or the task has returned
		link.end()
		return c.link.Load().ctx
	}
	return link.ctx
}

// finish ends the context, as its task has returned.
func (c *taskContext) finish() {
	if !c.link.CompareAndSwap(nil, finished) {
		c.link.Load().end()
	}
}
