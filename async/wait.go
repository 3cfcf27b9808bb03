package async

import "context"

// A waiting is a call of GoWait that has found its lane full.
type waiting struct {
	t          *task
	next, prev *waiting      // neighbours; guarded by the lane's mu
	out        bool          // no longer among them; guarded by the lane's mu
	err        error         // why it was turned away; to be read once decided is closed
	decided    chan struct{} // closed when t is queued, or turned away
}

// GoWait is [Go] that waits for room in the queue instead of failing with
// [ErrOverloaded]: until there is some, or ctx is done, or the pool closes. It
// then returns a future as Go does, in the latter two cases one that has failed
// already, with context.Cause(ctx) or [ErrClosed]. Callers are served in the
// order they came, and before any Go.
//
// In a task, GoWait with that task's context fails with [ErrSelfWait] when it
// would have to wait for its own lane.
func GoWait[T any](ctx context.Context, p *Pool, fn func(context.Context) (T, error)) *Future[T] {
	t := newTask(ctx, p.lane(LaneShort), opGo, fn, nil)
	if err := t.lane.submitWait(&t.task); err != nil {
		t.refuse(err)
	}
	return &t.Future
}

// submitWait is submit that waits for room until the task's context is done.
func (l *lane) submitWait(t *task) error {
	ctx := t.parent
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	own := laneOf(ctx) == l
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	if l.first == nil && !l.full() {
		start := l.push(t)
		l.mu.Unlock()
		l.start(start)
		return nil
	}
	if own {
		l.mu.Unlock()
		return ErrSelfWait
	}
	w := &waiting{t: t, decided: make(chan struct{})}
	l.enqueue(w)
	start := l.admit() // a task may have ended since its worker last looked
	l.mu.Unlock()
	l.start(start)
	select {
	case <-w.decided:
		return w.err
	case <-ctx.Done():
	}
	l.mu.Lock()
	if w.out { // decided while ctx was done: that decision stands
		l.mu.Unlock()
		return w.err
	}
	l.dequeue(w)
	start = l.admit()
	l.mu.Unlock()
	l.start(start)
	return context.Cause(ctx)
}

// enqueue lets w wait. The caller holds mu.
func (l *lane) enqueue(w *waiting) {
	w.prev = l.last
	if l.last == nil {
		l.first = w
	} else {
		l.last.next = w
	}
	l.last = w
	l.waits++
}

// dequeue takes w out again. The caller holds mu.
func (l *lane) dequeue(w *waiting) {
	if w.prev == nil {
		l.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.next, w.prev, w.out = nil, nil, true
	l.waits--
}

// admit queues the tasks of those who wait for room, as far as there is room.
// It returns how many workers the caller must start. The caller holds mu, and
// calls this whenever room may have appeared: a task that ends is followed by
// its worker's next, so none is missed.
func (l *lane) admit() (start int) {
	for l.first != nil && !l.full() {
		w := l.first
		l.dequeue(w)
		start += l.push(w.t)
		close(w.decided)
	}
	return start
}

// turnAway ends all waits for room with err. The caller holds mu.
func (l *lane) turnAway(err error) {
	for l.first != nil {
		w := l.first
		l.dequeue(w)
		w.err = err
		close(w.decided)
	}
}
