package lane

import (
	"context"
	"sync/atomic"
	"time"
)

// A taskContext is the context of a task: the one it was submitted with, which
// also ends with the group (cause [ErrClosed]) and when the task has returned,
// and which knows the lane that the task occupies.
//
// It is part of the task's node. To derive a context for each task would cost
// more than to run it, and most tasks never look at theirs: so the derived
// context is made when Done is first called.
type taskContext struct {
	parent context.Context
	lane   *Lane
	link   atomic.Pointer[contextLink] // nil until derived; finally finished
}

// A contextLink is the derived context of a task.
type contextLink struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	unhook func() bool // stops watching the group; nil for one without an end
	over   atomic.Bool // the task has returned
}

// finished is the link of every task that has returned without having derived
// a context: one that has ended. It never changes.
var finished = newFinished()

func newFinished() *contextLink {
	link := new(contextLink)
	link.ctx, link.cancel = context.WithCancelCause(context.Background())
	link.end()
	return link
}

// end cancels the derived context and stops watching the group.
func (k *contextLink) end() {
	k.over.Store(true)
	if k.unhook != nil {
		k.unhook()
	}
	k.cancel(context.Canceled)
}

// laneKey is the context key for the lane of a task.
type laneKey struct{}

// Of returns the lane that is occupied by the task whose context is ctx, or is
// derived from. It returns nil if there is no such task, or if it has returned.
func Of(ctx context.Context) *Lane {
	l, _ := ctx.Value(laneKey{}).(*Lane)
	return l
}

// Deadline returns that of the parent.
func (c *taskContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }

// Done derives the context if that has not happened yet.
func (c *taskContext) Done() <-chan struct{} { return c.derived().Done() }

// Err does not derive the context.
func (c *taskContext) Err() error {
	if link := c.link.Load(); link != nil {
		return link.ctx.Err()
	}
	if err := c.parent.Err(); err != nil {
		return err
	}
	if c.lane.group.ended() {
		return context.Canceled
	}
	return nil
}

// Value returns the parent's value, except for laneKey. Package context calls
// it to find the derived context when it makes children and looks for causes.
func (c *taskContext) Value(key any) any {
	link := c.link.Load()
	if _, ok := key.(laneKey); ok {
		if link != nil && link.over.Load() {
			return nil // a task that has returned occupies no lane
		}
		return c.lane
	}
	switch {
	case link == finished:
		return c.parent.Value(key)
	case link != nil:
		return link.ctx.Value(key)
	case c.lane.group.ended():
		return c.derived().Value(key)
	}
	return c.parent.Value(key)
}

// derived returns the derived context.
func (c *taskContext) derived() context.Context {
	if link := c.link.Load(); link != nil {
		return link.ctx
	}
	link := new(contextLink)
	link.ctx, link.cancel = context.WithCancelCause(c.parent)
	g := c.lane.group
	switch {
	case g.ended():
		link.cancel(ErrClosed)
	case g.ctx != nil:
		link.unhook = context.AfterFunc(g.ctx, func() { link.cancel(ErrClosed) })
	}
	if !c.link.CompareAndSwap(nil, link) { // another goroutine was first, or the task returned
		link.end()
		return c.link.Load().ctx
	}
	return link.ctx
}

// finish ends the context of a task that has returned.
func (c *taskContext) finish() {
	if !c.link.CompareAndSwap(nil, finished) {
		c.link.Load().end()
	}
}
