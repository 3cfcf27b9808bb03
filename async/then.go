package async

import "context"

// Then runs fn with f's value on the Short lane of p, once f has resolved, and
// returns the future of what fn returns. If f fails, so does that future, with
// the same error, and fn never runs. fn never runs on the goroutine that
// resolves f, and nothing waits on a worker for f.
//
// The work enters the queue when f resolves: a lane that is full or closed by
// then fails it, a context that is done keeps fn from running. Cancel works
// from the beginning. Like Go, Then never blocks.
func Then[T, U any](ctx context.Context, p *Pool, f *Future[T], fn func(context.Context, T) (U, error)) *Future[U] {
	t := &thenFuture[T, U]{source: f, fn: fn}
	t.parent, t.lane, t.op, t.work = ctx, p.lane(LaneShort), opThen, t
	t.Future.task = &t.task
	t.callback.w = t
	if !f.subscribe(&t.callback) {
		fire(t.resolved(0))
	}
	return &t.Future
}

// A thenFuture is the future of Then, with its task and its subscription, in
// one allocation.
type thenFuture[T, U any] struct {
	taskFuture[U]
	callback callback
	source   *Future[T]
	fn       func(context.Context, T) (U, error)
}

// resolved queues the task, unless the source has failed.
func (t *thenFuture[T, U]) resolved(int) *callback {
	if t.state.Load() != queued { // cancelled: it needs no place in the queue
		t.forget()
		return nil
	}
	err := t.source.err
	if err == nil {
		err = t.lane.submit(&t.task)
	}
	if err == nil {
		return nil
	}
	t.forget()
	var zero U
	list, _ := t.settle(queued, zero, err)
	return list
}

// run takes the value only now, on a worker: until then it is the source's.
func (t *thenFuture[T, U]) run() {
	if !t.claim() {
		t.forget()
		return
	}
	v, _ := t.source.take()
	fn := t.fn
	t.forget() // a chain does not keep its beginning alive
	t.perform(func(ctx context.Context) (U, error) { return fn(ctx, v) })
}

// drop fails the task, which its lane gives up.
func (t *thenFuture[T, U]) drop(err error) {
	t.taskFuture.drop(err)
	t.forget()
}

// cancelled leaves nothing behind in a source that is pending still. If that has
// resolved it is on its way to the lane, and forgets by itself.
func (t *thenFuture[T, U]) cancelled(unlinked bool) {
	t.mu.Lock()
	source := t.source
	t.mu.Unlock()
	if unlinked || source != nil && source.unsubscribe(&t.callback) {
		t.forget()
	}
}

// forget lets go of what was only needed to run. Each task is in one hand at a
// time, so that the mutex is for a Cancel that looks in between.
func (t *thenFuture[T, U]) forget() {
	t.mu.Lock()
	t.source, t.fn = nil, nil
	t.mu.Unlock()
}
