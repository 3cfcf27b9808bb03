package lock

import (
	"iter"
	"math/rand/v2"
)

// An index finds those of its items whose bytes overlap a range, in a number of
// steps that grows with the logarithm of how many there are and with how many
// it finds. It is a search tree by first byte, balanced by random priorities,
// in which each node knows the last byte of its subtree. The zero index is
// empty.
type index[T any] struct {
	root  *node[T]
	added uint64 // nodes ever inserted; the order among those that begin alike
	steps int    // nodes visited ever; tests of growth count them
}

// A node is part of its item, so that inserting it allocates nothing.
type node[T any] struct {
	item        T
	lo, hi      int64 // bytes of the item, both included
	last        int64 // the largest hi of the subtree
	seq         uint64
	priority    uint32
	left, right *node[T]
}

func (n *node[T]) before(lo int64, seq uint64) bool {
	return n.lo < lo || n.lo == lo && n.seq < seq
}

// update recomputes last, after the subtrees of n have changed.
func (n *node[T]) update() {
	n.last = n.hi
	if n.left != nil {
		n.last = max(n.last, n.left.last)
	}
	if n.right != nil {
		n.last = max(n.last, n.right.last)
	}
}

// insert adds item, whose bytes are lo to hi, by its node n.
func (x *index[T]) insert(n *node[T], item T, lo, hi int64) {
	x.added++
	*n = node[T]{item: item, lo: lo, hi: hi, last: hi, seq: x.added, priority: rand.Uint32()}
	if x.root == nil {
		x.root = n
		return
	}
	left, right := x.split(x.root, lo, n.seq)
	x.root = x.merge(x.merge(left, n), right)
}

// remove removes n, which insert has added.
func (x *index[T]) remove(n *node[T]) { x.root = x.without(x.root, n) }

func (x *index[T]) without(root, n *node[T]) *node[T] {
	x.steps++
	switch {
	case root == n:
		root = x.merge(n.left, n.right)
		n.left, n.right = nil, nil
		return root
	case root.before(n.lo, n.seq):
		root.right = x.without(root.right, n)
	default:
		root.left = x.without(root.left, n)
	}
	root.update()
	return root
}

// split divides a tree into the nodes before and after a place in the order.
func (x *index[T]) split(root *node[T], lo int64, seq uint64) (left, right *node[T]) {
	if root == nil {
		return nil, nil
	}
	x.steps++
	if root.before(lo, seq) {
		root.right, right = x.split(root.right, lo, seq)
		root.update()
		return root, right
	}
	left, root.left = x.split(root.left, lo, seq)
	root.update()
	return left, root
}

// merge joins two trees, all nodes of the first being before those of the
// second.
func (x *index[T]) merge(left, right *node[T]) *node[T] {
	switch {
	case left == nil:
		return right
	case right == nil:
		return left
	}
	x.steps++
	if left.priority > right.priority {
		left.right = x.merge(left.right, right)
		left.update()
		return left
	}
	right.left = x.merge(left, right.left)
	right.update()
	return right
}

// overlapping returns the items that have a byte from lo to hi, ordered by
// their first bytes. The index must not change meanwhile.
func (x *index[T]) overlapping(lo, hi int64) iter.Seq[T] {
	return func(yield func(T) bool) { x.walk(x.root, lo, hi, yield) }
}

// walk reports whether to go on.
func (x *index[T]) walk(n *node[T], lo, hi int64, yield func(T) bool) bool {
	if n == nil || n.last < lo {
		return true
	}
	x.steps++
	if !x.walk(n.left, lo, hi, yield) {
		return false
	}
	if n.lo > hi {
		return true // and so are all that follow
	}
	if n.hi >= lo && !yield(n.item) {
		return false
	}
	return x.walk(n.right, lo, hi, yield)
}
