package lane

import (
	"context"
	"runtime/pprof"
	"runtime/trace"
	"time"
)

// An Op names what a task does: in hooks, in profiles (the label "fmmap") and
// in execution traces (a region "fmmap." and the name).
type Op struct {
	name   string
	region string
	labels context.Context // made once: pprof.Do makes them anew for each task
}

// NewOp returns an Op, to be kept in a variable of a package.
func NewOp(name string) *Op {
	return &Op{
		name:   name,
		region: "fmmap." + name,
		labels: pprof.WithLabels(context.Background(), pprof.Labels("fmmap", name)),
	}
}

// String returns the name.
func (o *Op) String() string { return o.name }

// Hooks are called at the events of tasks, with the index of the lane, under no
// lock. Unwound must be set.
type Hooks struct {
	OnStart func(lane int, op *Op, waited time.Duration)
	OnDone  func(lane int, op *Op, ran time.Duration, err error)
	OnDrop  func(lane int, op *Op, err error)

	// Unwound returns the outcome of a task that panicked with value, or, if
	// value is nil, called runtime.Goexit. It is called in the deferred call
	// that recovered the panic, so that the stack shows where it began.
	Unwound func(lane int, op *Op, value any) error
}

// hooks are those of a group.
type hooks struct {
	Hooks
	timed bool // every task is timed: OnStart or OnDone wants to know
}

// A running task, as far as observing it is concerned.
type running struct {
	began  time.Duration // on the group's clock; 0 if it is not timed
	region *trace.Region // nil if there is no execution trace
}

// begin is called by a worker before it runs n's task.
func (l *Lane) begin(n *Node) (r running) {
	g := l.group
	if !g.inline {
		pprof.SetGoroutineLabels(n.op.labels)
	}
	if trace.IsEnabled() {
		r.region = trace.StartRegion(n.context.parent, n.op.region)
	}
	if n.since == 0 {
		return r
	}
	now := g.now()
	waited := now - n.since
	for longest := l.longest.Load(); int64(waited) > longest; longest = l.longest.Load() {
		if l.longest.CompareAndSwap(longest, int64(waited)) {
			break
		}
	}
	if g.hooks.timed {
		r.began = now
		if g.hooks.OnStart != nil {
			g.hooks.OnStart(l.index, n.op, waited)
		}
	}
	return r
}

// end is called by the same worker when Run is over, before Finish.
func (l *Lane) end(n *Node, r running, err error) {
	// Also when the hook panics: until that has ended the process, there is a worker in
	// place of the one that it unwinds, and no more tasks than workers may seem to run.
	defer l.ended.Add(1)
	if r.region != nil {
		r.region.End()
	}
	if h := &l.group.hooks; h.OnDone != nil {
		h.OnDone(l.index, n.op, l.group.now()-r.began, err)
	}
}

// unwound returns the outcome of a task whose Run did not return.
func (l *Lane) unwound(n *Node, value any) error {
	if value != nil {
		l.panics.Add(1)
	}
	return l.group.hooks.Unwound(l.index, n.op, value)
}

// skip counts a task that was taken off the head and is not run.
func (l *Lane) skip() {
	l.skipped.Add(1)
	l.ended.Add(1)
}

// dropped counts a task that will never run.
func (l *Lane) dropped(n *Node, err error) {
	l.drops.Add(1)
	if h := &l.group.hooks; h.OnDrop != nil {
		h.OnDrop(l.index, n.op, err)
	}
}
