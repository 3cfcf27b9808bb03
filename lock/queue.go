package lock

import (
	"cmp"
	"container/list"
	"context"
	"io/fs"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// This file has the queue, and the methods of entry that read or change it: all
// decisions about which request is granted, and when.

// A queue has the waiters of an entry in order, and finds those of a range.
type queue struct {
	list   list.List // of *waiter
	ranges index[*waiter]
}

// placeGap is the distance between the places of waiters that were queued one
// after the other, so that others can be queued between them.
const placeGap = 1 << 20

// head is how many waiters at the front are tried in turn before those further
// behind are looked up by range: most often one of them decides.
const head = 16

// insert queues w before next, or at the end when next is nil.
func (q *queue) insert(w, next *waiter) {
	if next == nil {
		w.element = q.list.PushBack(w)
	} else {
		w.element = q.list.InsertBefore(w, next.element)
	}
	q.ranges.insert(&w.node, w, w.l.lo, w.l.hi)
	q.assignPlace(w)
}

// move moves w, which is queued, before next.
func (q *queue) move(w, next *waiter) {
	q.list.MoveBefore(w.element, next.element)
	q.assignPlace(w)
}

// remove removes w, which is queued.
func (q *queue) remove(w *waiter) {
	q.list.Remove(w.element)
	w.element = nil
	q.ranges.remove(&w.node)
}

// assignPlace gives w a place between those of its neighbors.
func (q *queue) assignPlace(w *waiter) {
	prev, next := w.prev(), w.next()
	before, after := int64(0), int64(math.MaxInt64)
	if prev != nil {
		before = prev.place
	}
	if next != nil {
		after = next.place
	}
	switch {
	case next == nil && after-before > placeGap:
		w.place = before + placeGap
	case after-before > 1:
		w.place = before + (after-before)/2
	default:
		place := int64(0)
		for w := q.first(); w != nil; w = w.next() {
			place += placeGap
			w.place = place
		}
	}
}

// empty reports whether no waiter is queued.
func (q *queue) empty() bool { return q.list.Len() == 0 }

// first returns the waiter at the front, nil if none waits.
func (q *queue) first() *waiter { return waiterOf(q.list.Front()) }

// overlapping returns, in order, the waiters queued before end that want any
// byte from lo to hi. A nil end is the end of the queue. The queue may change
// meanwhile: waiters that have left it are left out, those that were moved come
// where they were.
func (q *queue) overlapping(lo, hi int64, end *waiter) iter.Seq[*waiter] {
	last := int64(math.MaxInt64)
	if end != nil {
		last = end.place - 1
	}
	return func(yield func(*waiter) bool) {
		var front [head]*waiter
		n := 0
		for w := q.first(); w != nil && w.place <= last && n < head; w = w.next() {
			front[n] = w
			n++
		}
		q.ranges.steps += n
		if n == 0 {
			return
		}
		seen := front[n-1].place
		for _, w := range front[:n] {
			if w.queued() && w.l.lo <= hi && lo <= w.l.hi && !yield(w) {
				return
			}
		}
		if n < head {
			return
		}
		var rest []*waiter
		for w := range q.ranges.overlapping(lo, hi) {
			if seen < w.place && w.place <= last {
				rest = append(rest, w)
			}
		}
		slices.SortFunc(rest, func(v, w *waiter) int { return cmp.Compare(v.place, w.place) })
		for _, w := range rest {
			if w.queued() && !yield(w) {
				return
			}
		}
	}
}

// mustQueueBehind reports whether r has to wait for a waiter queued before end:
// one that it must not overtake, or one that polls, so far in vain, for no more
// bytes than r wants.
func (e *entry) mustQueueBehind(r request, end *waiter) bool {
	if r.weakens() || e.queue.empty() {
		return false
	}
	for w := range e.queue.overlapping(r.l.lo, r.l.hi, end) {
		if r.waitsBehind(w) || w.polling && r.l.covers(w.l) {
			return true
		}
	}
	return false
}

// insertionPoint returns the waiter that r is to be queued before: the first
// one that waits on it, or else end; nil is the end of the queue.
func (e *entry) insertionPoint(r request, end *waiter) *waiter {
	if !r.holdsAny() {
		return end
	}
	for w := e.queue.first(); w != end; w = w.next() {
		if w.waitsOn(r) {
			return w
		}
	}
	return end
}

// reorder moves w, which is queued, before the waiters that wait on it, and
// before w the ones that it waits on. That ends, as waiters that wait on one
// another in a ring would be deadlocked.
func (e *entry) reorder(w *waiter) {
	if to := e.insertionPoint(w.request, w); to != w {
		e.queue.move(w, to)
		e.free(w.l)
	}
	for o := w.next(); o != nil; {
		if !w.waitsOn(o.request) {
			o = o.next()
			continue
		}
		e.queue.move(o, w)
		e.free(o.l)
		e.reorder(o)
		o = w.next()
	}
}

// onGranted moves the requests of l, and of the locks nested in it, that were
// queued before l was granted its present mode. Those that turn out to wait for
// themselves fail with ErrDeadlock: that was not known when they were queued.
func (e *entry) onGranted(l *Lock) {
	if l.nestedWaiters == 0 && l.pending == 0 {
		return
	}
	var waiters []*waiter
	for w := e.queue.first(); w != nil; w = w.next() {
		if w.l.within(l) {
			waiters = append(waiters, w)
		}
	}
	waiters = slices.DeleteFunc(waiters, func(w *waiter) bool {
		stuck := e.blocked(w.request) && e.deadlocked(w.request)
		if stuck {
			e.finish(w, ErrDeadlock)
			e.free(w.l)
		}
		return stuck
	})
	for _, w := range waiters {
		e.reorder(w)
	}
}

// deadlocked reports whether r would wait for a lock that waits, directly or
// through others, for r.l or for a lock that r.l is nested in. A nested request
// waits on behalf of all locks that it is nested in.
func (e *entry) deadlocked(r request) bool {
	if !r.holdsAny() {
		return false // no request can be waiting for it
	}
	seen := make(map[*waiter]bool)
	var reaches func(request) bool
	reaches = func(q request) bool {
		for h := range e.holders.overlapping(q.l.lo, q.l.hi) {
			if !q.blockedBy(h) {
				continue
			}
			if r.l.within(h) {
				return true
			}
			for w := e.queue.first(); w != nil; w = w.next() {
				if !seen[w] && w.l.within(h) {
					seen[w] = true
					if reaches(w.request) {
						return true
					}
				}
			}
		}
		return false
	}
	return reaches(r)
}

// An obstacle is the reason why a request is not granted at once.
type obstacle uint8

const (
	none    obstacle = iota
	holder           // a lock of this process
	earlier          // a request that came earlier
)

// obstacle returns the reason in this process why r is not granted at once, and
// the waiter that r is to be queued before.
func (e *entry) obstacle(r request) (found obstacle, next *waiter, err error) {
	if e.blocked(r) {
		if r.l.h.fl.Closed() {
			return holder, nil, fs.ErrClosed // at once rather than in the end
		}
		e.evictClosed(r)
		if e.blocked(r) {
			found = holder
		}
	}
	next = e.insertionPoint(r, nil)
	if found == none && e.mustQueueBehind(r, next) {
		found = earlier
	}
	return found, next, nil
}

// try grants r now, or returns why that is not possible.
func (e *entry) try(r request) error {
	if r.mode == r.l.mode {
		return nil
	}
	if !e.queue.empty() { // if the lock has become free, a waiter that polls comes first
		e.free(r.l)
		e.advance()
	}
	found, _, err := e.obstacle(r)
	switch {
	case err != nil:
		return err
	case found == holder:
		return ErrLockedHere
	case found == earlier:
		return ErrLocked
	}
	if err := e.grant(r); err != sys.ErrWouldBlock {
		return err
	}
	return ErrLocked
}

// grant takes r, which is not queued.
func (e *entry) grant(r request) error {
	err := e.take(r)
	if err == nil {
		e.onGranted(r.l)
	}
	return err
}

// wait grants r, fails, or queues it and returns the waiter.
func (e *entry) wait(ctx context.Context, r request, done func(error)) (*waiter, error) {
	if r.mode == r.l.mode {
		return nil, nil
	}
	found, next, err := e.obstacle(r)
	switch {
	case err != nil:
		return nil, err
	case found == none:
		if err := e.grant(r); err != sys.ErrWouldBlock {
			return nil, err
		}
	case e.deadlocked(r):
		return nil, ErrDeadlock
	}
	w := newWaiter(ctx, e, r, done)
	e.queue.insert(w, next)
	w.l.pending++
	for l := w.l.parent; l != nil; l = l.parent {
		l.nestedWaiters++
	}
	e.reorder(w)
	if found == none {
		w.poll()
	}
	return w, nil
}

// finish removes w from the queue. It receives err when mu is free.
func (e *entry) finish(w *waiter, err error) {
	w.stopPolling()
	e.queue.remove(w)
	w.l.pending--
	for l := w.l.parent; l != nil; l = l.parent {
		l.nestedWaiters--
	}
	w.err = err
	e.granted = append(e.granted, w)
	e.detach(w.l)
}

// advance grants the requests that can be granted since bytes have become free,
// front to back.
//
// A waiter is granted when no holder of this process and no earlier waiter
// blocks it, and the kernel agrees; if another process has the lock it polls. A
// waiter that leaves the queue may free other bytes for those behind it.
func (e *entry) advance() {
	for e.freed {
		e.freed = false
		if e.queue.empty() {
			return
		}
		lo, hi := e.freeLo, e.freeHi
		for w := range e.queue.overlapping(lo, hi, nil) {
			if e.serve(w) {
				if w.l.lo < lo || hi < w.l.hi {
					e.free(w.l)
				}
			} else if e.blocksAll(w, lo, hi) {
				break
			}
		}
	}
}

// blocksAll reports whether no waiter behind w, which stays in the queue, can
// be granted a byte from lo to hi. It may report false although none can.
func (e *entry) blocksAll(w *waiter, lo, hi int64) bool {
	switch {
	case w.mode == Exclusive && w.l.pending == 1:
		// All wait behind w, except further requests of its own lock.
		return w.l.lo <= lo && hi <= w.l.hi
	case e.key.ranged:
		return false
	case w.mode == Shared && e.blocked(w.request):
		// The exclusive holder blocks all: requests of locks nested in that
		// one are queued before w.
		return true
	}
	return w.polling
}

// serve grants w if that is possible, and reports whether w has left the queue,
// granted or failed.
func (e *entry) serve(w *waiter) bool {
	if w.ctx.Err() != nil { // a request that was given up is not granted
		e.finish(w, context.Cause(w.ctx))
		return true
	}
	if w.yielding {
		return false
	}
	if e.blocked(w.request) || e.mustQueueBehind(w.request, w) {
		w.stopPolling()
		return false
	}
	err := e.take(w.request)
	if err == sys.ErrWouldBlock {
		w.poll()
		return false
	}
	e.finish(w, err)
	if err == nil {
		e.onGranted(w.l)
	}
	return true
}

// release ends the hold of l and hands it on.
func (e *entry) release(l *Lock) error {
	m, h := l.mode, l.h
	l.pending++ // keeps l attached for as long as this lasts
	defer func() { l.pending-- }()
	e.drop(l)
	next := e.nextWaiter(l)
	yield := next != nil && e.mustYieldToOthers(l)
	// The next waiter may be of the same open file. Then the kernel need not be
	// told: it would let in another process in between. That is not so for a
	// range, part of which another waiter may want.
	handOver := next != nil && next.l.h == h && !e.key.ranged && !yield
	if handOver {
		e.advance()
	}
	err := e.syncKernelLock(h, l)
	if handOver {
		e.free(l)
	}
	if !isGone(err) {
		e.hold(l, m) // nothing was released, so nothing of it has been granted
		return err
	}
	if yield {
		next.yield()
	}
	return err
}

// nextWaiter returns the first waiter that can be granted its lock now that l
// no longer holds, nil if others block them.
func (e *entry) nextWaiter(l *Lock) *waiter {
	if e.queue.empty() {
		return nil
	}
	for w := range e.queue.overlapping(l.lo, l.hi, nil) {
		if !e.blocked(w.request) && !e.mustQueueBehind(w.request, w) {
			return w
		}
		if e.blocksAll(w, l.lo, l.hi) {
			break
		}
	}
	return nil
}

// mustYieldToOthers reports whether the bytes that l releases must be left to
// other processes for a moment instead of being handed on.
func (e *entry) mustYieldToOthers(l *Lock) bool {
	now := time.Now()
	if l.turn.IsZero() {
		l.turn = now
	}
	if now.Sub(l.turn) < longestTurn {
		e.turn = l.turn // of the lock that is granted it now
		return false
	}
	return !e.coveredExclusively(l) // or there is nothing for others to take
}
