package lane

import (
	"context"
	"time"
)

// A Task is work for a [Lane]. The lane calls its methods under no lock:
//
//	Submit ──► queue ──► Claim ──► Run ──► Finish    a worker runs it
//	             │         └─────────────► Finish    its context or its lane ended
//	             └────► Remove                       its owner no longer wants it
type Task interface {
	// Claim reports whether the task is still wanted. If it returns true the
	// task is the lane's until Finish, and its owner must not call Remove.
	Claim() bool

	// Run does the work, on a worker. It may panic and call runtime.Goexit.
	// ctx carries the values of the context that the task was submitted with.
	// It ends with that context, with the group, and when Run has returned.
	Run(ctx context.Context) error

	// Finish is called exactly once after a Claim that returned true. Its
	// argument is the error of Run, the one that Hooks.Unwound made of a panic or
	// a Goexit, or the reason why Run was not called. The lane has counted the
	// task as ended by then, so that there is room for another one.
	Finish(err error)
}

// A Node is a task's place in a lane. It is embedded in the task, so that
// submitting allocates nothing.
type Node struct {
	context taskContext   // given to Run; has the lane
	task    Task          // nil once Finish is about to be called
	op      *Op           // what the task does
	next    *Node         // neighbors in the queue; guarded by the lane's mu
	prev    *Node         //
	queued  bool          // is in the queue; guarded by the lane's mu
	since   time.Duration // when it was queued, on the group's clock; 0 if not timed
}

// Init prepares n for t, to be submitted to l with ctx. It must be called once,
// before any other method.
func (n *Node) Init(ctx context.Context, l *Lane, op *Op, t Task) {
	n.context.parent, n.context.lane = ctx, l
	n.op, n.task = op, t
}

// Lane returns the lane that Init was given.
func (n *Node) Lane() *Lane { return n.context.lane }

// Task returns the task that Init was given. Only its owner may call it, and
// only while a Claim has not returned true.
func (n *Node) Task() Task { return n.task }

// Parent returns the context that Init was given.
func (n *Node) Parent() context.Context { return n.context.parent }

// run runs the task of a node that the worker has taken off the queue.
func (l *Lane) run(n *Node) {
	if !n.task.Claim() {
		l.skip()
		return
	}
	if ctx := n.context.parent; ctx.Err() != nil {
		l.skip()
		l.giveUp(n, context.Cause(ctx))
		return
	}
	l.perform(n)
}

// perform runs a claimed task and finishes it, in a deferred call: Run may
// panic, or call runtime.Goexit, which then goes on to end the worker.
func (l *Lane) perform(n *Node) {
	var err error
	returned := false
	began := l.begin(n)
	defer func() {
		if !returned {
			err = l.unwound(n, recover())
		}
		n.context.finish()
		l.end(n, began, err)
		n.finish(err)
	}()
	err = n.task.Run(&n.context)
	returned = true
}

// giveUp finishes a claimed task that will not run.
func (l *Lane) giveUp(n *Node, err error) {
	l.dropped(n, err)
	n.finish(err)
}

// finish calls the task's Finish. It lets go of the task first: a task that
// refers to itself need not be finalized.
func (n *Node) finish(err error) {
	t := n.task
	n.task = nil
	t.Finish(err)
}

// giveUpAll gives up a list returned by queue.takeAll.
func (l *Lane) giveUpAll(list *Node, err error) {
	for list != nil {
		n := list
		list = n.next
		n.next = nil
		if n.task.Claim() {
			l.giveUp(n, err)
		}
	}
}
