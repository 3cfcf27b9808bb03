package lane

import "context"

// A roomWaiter is a call of SubmitWait that has found its lane full.
type roomWaiter struct {
	node    *Node
	decided chan struct{} // closed when node was queued or refused
	out     bool          // so it is, or the caller gave up; guarded by the lane's mu
	err     error         // why it was refused; not written after decided is closed
}

// SubmitWait is [Node.Submit], except that it waits for room in a full lane:
// until there is some, or the task's context is done, or the group is closed.
// Callers are served in the order they came, and before any Submit. With the
// context of a task that occupies the lane it returns [ErrSelfWait] in place of
// waiting.
func (n *Node) SubmitWait() error {
	ctx, l := n.context.parent, n.context.lane
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	own := Of(ctx) == l
	l.mu.Lock()
	if l.closed {
		l.unlock()
		return ErrClosed
	}
	if l.room.Len() == 0 && !l.full() {
		start := l.push(n)
		l.unlock()
		l.start(start)
		return nil
	}
	if own {
		l.unlock()
		return ErrSelfWait
	}
	w := &roomWaiter{node: n, decided: make(chan struct{})}
	elem := l.room.PushBack(w)
	l.unlock()
	select {
	case <-w.decided:
		return w.err
	case <-ctx.Done():
	}
	l.mu.Lock()
	if w.out { // decided while ctx ended: the decision stands
		l.unlock()
		return w.err
	}
	l.room.Remove(elem)
	w.out = true
	l.unlock()
	return context.Cause(ctx)
}

// admit queues the tasks of callers that wait for room, as far as there is
// room. It returns how many workers the caller must start. The caller holds mu.
//
// It is called whenever there may be more room: when a task is removed, and when
// a worker looks for its next task, since its last one has ended. As a lane with
// waiters has a task, and so a worker, no waiter is forgotten.
func (l *Lane) admit() (start int) {
	for l.room.Len() > 0 && !l.full() {
		w := l.nextWaiter()
		start += l.push(w.node)
		close(w.decided)
	}
	return start
}

// rejectWaiters ends all waits for room with err. The caller holds mu.
func (l *Lane) rejectWaiters(err error) {
	for l.room.Len() > 0 {
		w := l.nextWaiter()
		w.err = err
		close(w.decided)
	}
}

// nextWaiter removes the oldest waiter. The caller holds mu.
func (l *Lane) nextWaiter() *roomWaiter {
	w := l.room.Remove(l.room.Front()).(*roomWaiter)
	w.out = true
	return w
}
