package async

import (
	"context"
	"fmt"
	"runtime/debug"
	"runtime/pprof"
	"runtime/trace"
	"time"
)

// A span is the running of one task, as far as observing it goes.
type span struct {
	began  time.Duration // on the pool's clock; 0 if nobody wants to know
	region *trace.Region
}

// begin is called by a worker before it runs t.
func (l *lane) begin(t *task) span {
	p := l.pool
	var s span
	if p.tags != nil {
		pprof.SetGoroutineLabels(p.tags[t.op].labels)
	}
	if trace.IsEnabled() {
		s.region = trace.StartRegion(t.parent, opTags()[t.op].region)
	}
	if t.since == 0 {
		return s
	}
	now := p.now()
	waited := now - t.since
	for longest := l.longest.Load(); int64(waited) > longest; longest = l.longest.Load() {
		if l.longest.CompareAndSwap(longest, int64(waited)) {
			break
		}
	}
	if p.hooks != nil {
		s.began = now
		if p.hooks.OnStart != nil {
			p.hooks.OnStart(l.name, t.op.String(), waited)
		}
	}
	return s
}

// end is called by the same worker when t has ended, before that can be seen.
func (l *lane) end(t *task, s span, err error) {
	if s.region != nil {
		s.region.End()
	}
	if h := l.pool.hooks; h != nil && h.OnDone != nil {
		h.OnDone(l.name, t.op.String(), l.pool.now()-s.began, err)
	}
	l.left.Add(1)
}

// skip counts a task that has left the queue by its head without being run.
func (l *lane) skip() {
	l.skipped.Add(1)
	l.left.Add(1)
}

// dropped counts a task that was accepted and will never run.
func (l *lane) dropped(t *task, err error) {
	l.drops.Add(1)
	if h := l.pool.hooks; h != nil && h.OnDrop != nil {
		h.OnDrop(l.name, t.op.String(), err)
	}
}

// panicked is called while t's panic is being recovered, and makes an error of
// it, or ends the process.
func (l *lane) panicked(t *task, v any) error {
	err := &PanicError{Value: v, Stack: debug.Stack()}
	l.panics.Add(1)
	if h := l.pool.hooks; h != nil && h.OnPanic != nil {
		h.OnPanic(l.name, t.op.String(), err)
	}
	if l.pool.crash {
		crashWith(err)
	}
	return err
}

// crashWith ends the process with a panic that nothing can recover, neither the
// task's callers nor an executor.
func crashWith(err *PanicError) {
	go panic(fmt.Sprintf("%v\n\n%s", err, err.Stack))
	select {} // until that has happened
}

// execute queues fn in l as a task without a future, on behalf of no context.
// It returns an error, and forgets fn, if the lane does not accept it.
// Otherwise fn is called exactly once: with nil on a worker, or with the reason
// why it will never be, on some other goroutine. It must not panic: there is
// nobody to tell, so that ends the process.
func (l *lane) execute(o op, fn func(dropped error)) error {
	c := &call{fn: fn}
	c.parent, c.lane, c.op, c.work = context.Background(), l, o, c
	return l.submit(&c.task)
}

// A call is a task without a future.
type call struct {
	task
	fn func(error)
}

func (c *call) run() {
	s := c.lane.begin(&c.task)
	defer func() {
		if r := recover(); r != nil {
			crashWith(&PanicError{Value: r, Stack: debug.Stack()})
		}
		c.finish()
		c.lane.end(&c.task, s, nil)
	}()
	c.fn(nil)
}

func (c *call) drop(err error) {
	c.lane.dropped(&c.task, err)
	c.fn(err)
}
