package async

import (
	"context"

	"github.com/fmmap-go/fmmap/internal/lane"
)

// An op names what a task does, in hooks, profiles and execution traces.
type op = *lane.Op

var (
	opGo       = lane.NewOp("go")
	opThen     = lane.NewOp("then")
	opOpen     = lane.NewOp("open")
	opPageIn   = lane.NewOp("page-in")
	opLoad     = lane.NewOp("load")
	opRead     = lane.NewOp("read")
	opWrite    = lane.NewOp("write")
	opFlush    = lane.NewOp("flush")
	opTruncate = lane.NewOp("truncate")
	opCopy     = lane.NewOp("copy")
	opRemove   = lane.NewOp("remove")
	opClose    = lane.NewOp("close")
	opAdvise   = lane.NewOp("advise")

	opReadAround = lane.NewOp("read around")
)

// Go runs fn on the Short lane of p, or of the [Default] pool if p is nil, and
// returns the future of what it returns. It never blocks: when the lane's queue
// is full the future has failed already with [ErrOverloaded], after
// [Pool.Close] with [ErrClosed].
//
// ctx governs the work. If it is done before fn has started, fn never runs,
// and the future fails with context.Cause(ctx) at the latest when its turn
// comes; [Future.Cancel] is quicker. Once fn runs, it sees ctx end, and the
// future resolves with what it returns. fn's context carries the values of ctx,
// and also ends with the pool and when fn has returned.
//
// A panic in fn makes the future fail with a [*PanicError], a call of
// [runtime.Goexit] with [ErrGoexit].
func Go[T any](ctx context.Context, p *Pool, fn func(context.Context) (T, error)) *Future[T] {
	t := newTask(ctx, p.lane(LaneShort), opGo, fn, nil)
	t.submit()
	return &t.Future
}

// GoWait is [Go], except that it waits for room in the queue instead of failing
// with [ErrOverloaded]: until there is some, or ctx is done, or the pool closes.
// It then returns a future as Go does, in the latter two cases one that has
// failed with context.Cause(ctx) or [ErrClosed]. Callers are served in the
// order they came, and before any Go.
//
// In a task, GoWait with that task's context fails with [ErrSelfWait] when it
// would have to wait for its own lane.
func GoWait[T any](ctx context.Context, p *Pool, fn func(context.Context) (T, error)) *Future[T] {
	t := newTask(ctx, p.lane(LaneShort), opGo, fn, nil)
	if err := t.SubmitWait(); err != nil {
		t.refuse(err)
	}
	return &t.Future
}

// A taskFuture is a future and the task that resolves it, in one allocation.
type taskFuture[T any] struct {
	Future[T] // first: a finalizer must be set on the start of the allocation
	lane.Node
	fn func(context.Context) (T, error)
	// inTime accepts a resource that arrives when the context is done: fn has
	// had the last look at it, and what it did then cannot be taken back.
	inTime bool
}

// newTask returns a future whose task is still to be submitted.
//
// If release is not nil, the result is a resource that it releases. One that
// arrives when ctx is done goes to release, unless inTime is set, and so does
// one in a future that was collected without its value having been taken (by
// Await, TryResult, Then, All or Any). release must not block; the garbage
// collector's finalizer goroutine may call it.
func newTask[T any](ctx context.Context, l *lane.Lane, o op, fn func(context.Context) (T, error), release func(T)) *taskFuture[T] {
	t := &taskFuture[T]{fn: fn}
	t.release = release
	t.node = &t.Node
	t.Init(ctx, l, o, t)
	return t
}

// submit queues the task, or fails its future.
func (t *taskFuture[T]) submit() {
	if err := t.Submit(); err != nil {
		t.refuse(err)
	}
}

// refuse fails the future of a task that its lane did not accept, unless Cancel
// was first.
func (t *taskFuture[T]) refuse(err error) {
	t.fn = nil
	var zero T
	list, _ := t.complete(queued, zero, err)
	fire(list)
}

// Claim implements [lane.Task].
func (t *taskFuture[T]) Claim() bool {
	if t.state.CompareAndSwap(queued, running) {
		return true
	}
	t.fn = nil // Cancel found the task in no queue, and left this to its worker
	return false
}

// Run implements [lane.Task].
func (t *taskFuture[T]) Run(ctx context.Context) error { return t.keep(t.fn(ctx)) }

// keep stores what the work returned until Finish publishes it, and returns the
// outcome of the future: a resource that arrives when the context of the work
// is done is released, and the future fails, unless inTime is set.
func (t *taskFuture[T]) keep(v T, err error) error {
	if t.release != nil {
		if err != nil {
			return err
		}
		if ctx := t.Parent(); ctx.Err() != nil && !t.inTime {
			t.release(v)
			return context.Cause(ctx)
		}
	}
	t.val = v
	return err
}

// Finish implements [lane.Task]. Only this goroutine can change the state of a
// running future, so it needs no compare-and-swap.
func (t *taskFuture[T]) Finish(err error) {
	t.fn = nil
	fire(t.publish(t.val, err))
}

// cancelled implements cancellable. A task that was not in the queue is in the
// hands of a worker, whose Claim will fail.
func (t *taskFuture[T]) cancelled(unlinked bool) {
	if unlinked {
		t.fn = nil
	}
}

// execute queues fn in a lane as a task without a future and without a context.
// It returns an error, and forgets fn, if the lane does not accept it. Otherwise
// fn is called exactly once: with nil on a worker, or on some other goroutine
// with the reason why it will never be on one. It must not panic: as there is no
// future to fail, that ends the process.
func (p *Pool) execute(l Lane, o op, fn func(dropped error)) error {
	return executeIn(p.lane(l), o, fn)
}

// executeIn is execute for a lane.
func executeIn(l *lane.Lane, o op, fn func(dropped error)) error {
	c := &call{fn: fn}
	c.Init(context.Background(), l, o, c)
	return c.Submit()
}

// A call is a task without a future.
type call struct {
	lane.Node
	fn  func(error)
	ran bool
}

// Claim implements [lane.Task].
func (c *call) Claim() bool { return true }

// Run implements [lane.Task].
func (c *call) Run(context.Context) error {
	c.ran = true
	c.fn(nil)
	return nil
}

// Finish implements [lane.Task].
func (c *call) Finish(err error) {
	if !c.ran {
		c.fn(err)
	} else if p, ok := err.(*PanicError); ok {
		crashWith(p)
	}
}

// StartClose begins what [Pool.CloseContext] does with ctx, and waits for
// nothing: new work fails from here on. The future resolves with what
// CloseContext returns. It may be called in a task of the pool with a context
// other than the task's own, as nothing in it waits for that task.
//
// While work of the pool runs, a goroutine waits for it, which ends with the
// future.
func (p *Pool) StartClose(ctx context.Context) *Future[struct{}] {
	if p.endless {
		return Failed[struct{}](errEndless)
	}
	out := newPromise[struct{}]()
	wait, err := p.group.StartClose(ctx)
	if wait == nil {
		out.resolve(struct{}{}, err)
		return out
	}
	go func() { out.resolve(struct{}{}, wait()) }() // ends with the pool, or with ctx
	return out
}
