package lane

import "github.com/fmmap-go/fmmap/internal/invariant"

// A queue is a list of nodes, linked through the nodes themselves. The zero
// queue is empty.
type queue struct {
	head, tail *Node
	len        int
}

// push appends n.
func (q *queue) push(n *Node) {
	invariant.Check(!n.queued, "a task is queued twice")
	n.queued = true
	n.prev = q.tail
	if q.tail == nil {
		q.head = n
	} else {
		q.tail.next = n
	}
	q.tail = n
	q.len++
}

// remove removes n, which must be in q.
func (q *queue) remove(n *Node) {
	invariant.Check(n.queued, "a task leaves the queue that is not in it")
	if n.prev == nil {
		q.head = n.next
	} else {
		n.prev.next = n.next
	}
	if n.next == nil {
		q.tail = n.prev
	} else {
		n.next.prev = n.prev
	}
	n.next, n.prev, n.queued = nil, nil, false
	q.len--
}

// takeAll empties q and returns its nodes, linked by next.
func (q *queue) takeAll() *Node {
	list := q.head
	for n := list; n != nil; n = n.next {
		n.prev, n.queued = nil, false
	}
	*q = queue{}
	return list
}
