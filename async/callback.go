package async

// A waiter is told, by the goroutine that resolves, that the i-th future it
// subscribed to is resolved. It must not block. If that resolves further
// futures it returns their callbacks instead of running them, so that a long
// chain of futures is worked off in a loop and not on the stack.
type waiter interface {
	resolved(i int) *callback
}

// A callback is one subscription, a node of the circular list of a future. It
// is allocated by the waiter, many at a time or inside itself.
type callback struct {
	next, prev *callback // guarded by mu of the future while it is pending
	w          waiter
	i          int
}

// fire runs a list that publish has detached: list.prev is its tail.
func fire(list *callback) {
	if list == nil {
		return
	}
	tail := list.prev
	tail.next = nil
	for c := list; c != nil; c = c.next {
		more := c.w.resolved(c.i)
		if more != nil {
			tail.next = more
			tail = more.prev
			tail.next = nil
		}
	}
}

// subscribe makes c part of f, or reports false when f is resolved already.
func (f *Future[T]) subscribe(c *callback) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state.Load() >= held {
		return false
	}
	head := f.callbacks
	if head == nil {
		c.next, c.prev = c, c
		f.callbacks = c
		return true
	}
	c.prev, c.next = head.prev, head
	head.prev.next = c
	head.prev = c
	return true
}

// unsubscribe takes c out again and reports true, unless f has resolved: then
// c's waiter has been called, or is about to be. c must have been accepted by
// subscribe.
func (f *Future[T]) unsubscribe(c *callback) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state.Load() >= held || c.next == nil {
		return false
	}
	if c.next == c {
		f.callbacks = nil
	} else {
		c.prev.next, c.next.prev = c.next, c.prev
		if f.callbacks == c {
			f.callbacks = c.next
		}
	}
	c.next, c.prev = nil, nil
	return true
}
