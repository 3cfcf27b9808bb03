package async

import (
	"context"
	"time"
)

// A task is a piece of work in the queue of a lane. It lives inside what it
// works for, so that queueing allocates nothing.
type task struct {
	taskContext               // the task's context, and the lane
	work        work          // what to do: whatever the task lives in
	next, prev  *task         // neighbours in the lane's queue; guarded by the lane's mu
	queued      bool          // it is in that queue; guarded by the lane's mu
	op          op            // its name
	since       time.Duration // when it was queued, on the pool's clock; 0 if not timed
}

// work is what a lane does with its tasks. Of each, one of the two is called,
// once, with no lock held; which of them, the lane decides. Whether there is
// still something to do the work decides itself, by a compare-and-swap.
type work interface {
	run()           // on a worker
	drop(err error) // instead of it
}

// submit queues fn in l and returns the future of what it returns; it is what
// [Go] is made of. It never blocks: a lane that is full or closed, or a context
// that is done, makes a future that has failed already.
//
// fn runs on a worker of the lane, under the name o in profiles and traces,
// with a context that carries ctx's values and ends with ctx, with the pool,
// and when fn has returned. Panics and Goexits of fn are taken care of.
func submit[T any](ctx context.Context, l *lane, o op, fn func(context.Context) (T, error)) *Future[T] {
	return submitOwned(ctx, l, o, fn, nil)
}

// submitOwned is submit for work whose result is a resource. What arrives when
// ctx is done goes to release, and so does what is in a future that has been
// collected without anybody having taken it (Await, TryResult, Then, All, Any
// take). release must not block; it may be called by the garbage collector's
// finalizer goroutine.
func submitOwned[T any](ctx context.Context, l *lane, o op, fn func(context.Context) (T, error), release func(T)) *Future[T] {
	t := newTask(ctx, l, o, fn, release)
	if err := l.submit(&t.task); err != nil {
		t.refuse(err)
	}
	return &t.Future
}

// A taskFuture is a future and the task that resolves it, in one allocation.
type taskFuture[T any] struct {
	Future[T] // first: the finalizer wants the start of the allocation
	task
	fn func(context.Context) (T, error)
}

func newTask[T any](ctx context.Context, l *lane, o op, fn func(context.Context) (T, error), release func(T)) *taskFuture[T] {
	t := &taskFuture[T]{fn: fn}
	t.release = release
	t.Future.task = &t.task
	t.parent, t.lane, t.op, t.work = ctx, l, o, t
	return t
}

// refuse fails a task that its lane has not accepted, unless Cancel was first.
func (t *taskFuture[T]) refuse(err error) {
	var zero T
	list, _ := t.settle(queued, zero, err)
	fire(list)
}

// drop fails a task that its lane gives up. The lane counts it if this was
// what ended it.
func (t *taskFuture[T]) drop(err error) {
	t.fn = nil
	if !t.state.CompareAndSwap(queued, claimed) {
		return // cancelled meanwhile
	}
	t.lane.dropped(&t.task, err)
	var zero T
	fire(t.publish(zero, err))
}

// run does the work, if nobody has cancelled it meanwhile.
func (t *taskFuture[T]) run() {
	if t.claim() {
		t.perform(t.fn)
	} else {
		t.fn = nil
	}
}

// cancelled is called by the Cancel that has claimed the future; unlinked says
// that it has found the task in the queue, so that no worker will.
func (t *taskFuture[T]) cancelled(unlinked bool) {
	if unlinked {
		t.fn = nil
	}
}

// claim moves a task that has left the queue from queued to running. If its
// context is done it is dropped instead. Both count, and both may find that
// Cancel was first.
func (t *taskFuture[T]) claim() bool {
	if t.parent.Err() != nil {
		t.lane.skip()
		t.drop(context.Cause(t.parent))
		return false
	}
	if !t.state.CompareAndSwap(queued, running) {
		t.lane.skip()
		return false
	}
	return true
}

// perform calls fn on a task that has been claimed for running, and publishes
// what comes of it.
func (t *taskFuture[T]) perform(fn func(context.Context) (T, error)) {
	var v T
	err := ErrGoexit // unless fn returns, or panics
	s := t.lane.begin(&t.task)
	defer func() {
		if r := recover(); r != nil {
			err = t.lane.panicked(&t.task, r)
		}
		if err == nil && t.release != nil && t.parent.Err() != nil {
			t.release(v)
			err = context.Cause(t.parent)
		}
		if err != nil && t.release != nil {
			var zero T
			v = zero
		}
		t.finish()
		t.lane.end(&t.task, s, err)
		t.fn = nil
		t.work = nil
		// Nobody else claims what is running, so this needs no compare-and-swap.
		fire(t.publish(v, err))
	}()
	v, err = fn(&t.taskContext)
}

// occupies reports whether resolving the task's future needs a worker of l.
func (t *task) occupies(l *lane) bool {
	if t.lane != nil {
		return t.lane == l
	}
	w, ok := t.work.(interface{ occupies(*lane) bool })
	return ok && w.occupies(l)
}
