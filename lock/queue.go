package lock

import (
	"context"
	"io/fs"
	"slices"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// A request is for l to hold mode.
type request struct {
	l    *Lock
	mode Mode
}

// overlaps says whether the two want or hold any byte in common.
func (l *Lock) overlaps(o *Lock) bool { return l.lo <= o.hi && o.lo <= l.hi }

// covers says whether all bytes of o are bytes of l.
func (l *Lock) covers(o *Lock) bool { return l.lo <= o.lo && o.hi <= l.hi }

// blockedBy says whether r cannot be granted while h holds.
func (r request) blockedBy(h *Lock) bool {
	return (r.mode == Exclusive || h.mode == Exclusive) && r.l.overlaps(h) && !r.l.within(h)
}

// waitsBehind says whether r must not be granted before w, which came first.
func (r request) waitsBehind(w *waiter) bool {
	return (r.mode == Exclusive || w.mode == Exclusive) && r.l.overlaps(w.l) && r.l != w.l
}

// holdsAny says whether r is made by one who holds already: it converts, or is nested in a lock that is held.
func (r request) holdsAny() bool {
	for l := r.l; l != nil; l = l.parent {
		if l.mode != 0 {
			return true
		}
	}
	return false
}

// blocked says whether some holder of this process stands in the way of r.
func (e *entry) blocked(r request) bool {
	if r.mode <= r.l.mode || r.mode == Shared && e.exclusive == 0 {
		return false // keeping or weakening what is held is always possible
	}
	return slices.ContainsFunc(e.holders, r.blockedBy)
}

// bars says whether w waits for r.l itself, or for what it is nested in: w can have nothing until that has been
// released, so r must not wait behind it. Nobody in the queue stands behind one that it bars.
func (r request) bars(w *waiter) bool {
	for l := r.l; l != nil; l = l.parent {
		if l.mode != 0 && w.blockedBy(l) {
			return true
		}
	}
	return false
}

// place is where r is to be queued: before the first one that it bars, or else before end; nil is the end of all.
func (e *entry) place(r request, end *waiter) *waiter {
	if !r.holdsAny() {
		return end
	}
	for w := e.first; w != end; w = w.next {
		if r.bars(w) {
			return w
		}
	}
	return end
}

// arrange moves w, which is queued, before those that it bars, and before w those that bar it. That comes to an
// end, as a ring of those who bar one another would wait for itself.
func (e *entry) arrange(w *waiter) {
	if to := e.place(w.request, w); to != w {
		e.unlink(w)
		e.link(w, to)
		e.free(w.l)
	}
	for o := w.next; o != nil; {
		if !o.bars(w) {
			o = o.next
			continue
		}
		e.unlink(o)
		e.link(o, w)
		e.free(o.l)
		e.arrange(o)
		o = w.next
	}
}

// promote lets those pass who waited for l, or for what is nested in it, before l held what it has been granted
// now. Those of them who wait for themselves, as it turns out, could not be told when they came.
func (e *entry) promote(l *Lock) {
	if l.kin == 0 && l.pending == 0 {
		return
	}
	var kin []*waiter
	for w := e.first; w != nil; w = w.next {
		if w.l.within(l) {
			kin = append(kin, w)
		}
	}
	kin = slices.DeleteFunc(kin, func(w *waiter) bool {
		stuck := e.blocked(w.request) && e.deadlocked(w.request)
		if stuck {
			e.finish(w, ErrDeadlock)
			e.free(w.l)
		}
		return stuck
	})
	for _, w := range kin {
		e.arrange(w)
	}
}

// behind says whether r has to wait for one of those queued before end: one that it must not overtake, or one
// that polls for no more than r wants, in vain so far.
func (e *entry) behind(r request, end *waiter) bool {
	if r.mode <= r.l.mode {
		return false
	}
	for w := e.first; w != end; w = w.next {
		if r.waitsBehind(w) || w.polling && r.l.covers(w.l) {
			return true
		}
	}
	return false
}

// deadlocked says whether r would wait for somebody who, through however many others, waits for r.l or for what
// it is nested in. A nested request waits on behalf of all it is nested in.
func (e *entry) deadlocked(r request) bool {
	if !r.holdsAny() {
		return false // nobody can be waiting for it
	}
	seen := make(map[*waiter]bool)
	var reaches func(request) bool
	reaches = func(q request) bool {
		for _, h := range e.holders {
			if !q.blockedBy(h) {
				continue
			}
			if r.l.within(h) {
				return true
			}
			for w := e.first; w != nil; w = w.next {
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

// obstacle says whether a holder or a waiter of this process stands in the way of r, and which waiter r is
// to be queued before.
func (e *entry) obstacle(r request) (next *waiter, found bool, err error) {
	found = e.blocked(r)
	if found {
		if r.l.h.fl.Closed() {
			return nil, true, fs.ErrClosed // rather than in the end
		}
		e.evictClosed(r.l.h)
		found = e.blocked(r)
	}
	next = e.place(r, nil)
	return next, found || e.behind(r, next), nil
}

// try grants r now, or says why not.
func (e *entry) try(r request) error {
	if r.mode == r.l.mode {
		return nil
	}
	if e.first != nil { // those who poll have it first, if it has become free
		e.free(r.l)
		e.advance()
	}
	_, found, err := e.obstacle(r)
	switch {
	case err != nil:
		return err
	case found && e.blocked(r):
		return ErrLockedHere
	case found:
		return ErrLocked
	}
	if err := e.grant(r); err != sys.ErrWouldBlock {
		return err
	}
	return ErrLocked
}

// grant has r taken by one who does not stand in the queue.
func (e *entry) grant(r request) error {
	err := e.take(r)
	if err == nil {
		e.promote(r.l)
	}
	return err
}

// wait grants r, fails, or queues it: then the waiter is not nil.
func (e *entry) wait(ctx context.Context, r request, done func(error)) (*waiter, error) {
	if r.mode == r.l.mode {
		return nil, nil
	}
	next, found, err := e.obstacle(r)
	switch {
	case err != nil:
		return nil, err
	case !found:
		if err := e.grant(r); err != sys.ErrWouldBlock {
			return nil, err
		}
	case e.deadlocked(r):
		return nil, ErrDeadlock
	}
	w := newWaiter(ctx, e, r, done)
	e.insert(w, next)
	if !found {
		w.poll()
	}
	return w, nil
}

// insert queues w before next, or at the end when next is nil.
func (e *entry) insert(w, next *waiter) {
	e.link(w, next)
	w.queued = true
	w.l.pending++
	for l := w.l.parent; l != nil; l = l.parent {
		l.kin++
	}
	e.arrange(w)
}

func (e *entry) link(w, next *waiter) {
	w.next = next
	if next == nil {
		w.prev, e.last = e.last, w
	} else {
		w.prev, next.prev = next.prev, w
	}
	if w.prev == nil {
		e.first = w
	} else {
		w.prev.next = w
	}
}

func (e *entry) unlink(w *waiter) {
	if w.prev == nil {
		e.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		e.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
}

// finish takes w out of the queue. It is told its outcome when mu is free.
func (e *entry) finish(w *waiter, err error) {
	w.rest()
	e.unlink(w)
	w.queued = false
	w.l.pending--
	for l := w.l.parent; l != nil; l = l.parent {
		l.kin--
	}
	w.err = err
	if e.ready == nil {
		e.ready = w
	} else {
		e.lastReady.next = w
	}
	e.lastReady = w
	e.detach(w.l)
}

// free notes that the bytes of l may be had by somebody who waits.
func (e *entry) free(l *Lock) {
	if e.freed {
		e.freeLo, e.freeHi = min(e.freeLo, l.lo), max(e.freeHi, l.hi)
	} else {
		e.freed, e.freeLo, e.freeHi = true, l.lo, l.hi
	}
}

// advance grants what can be granted of the bytes that have become free, front to back.
//
// A waiter may go when no holder and nobody before it stands in its way; it then asks the system, and polls when
// another process has the lock. One that leaves the queue may free those behind it who want others of its bytes.
func (e *entry) advance() {
	for e.freed {
		e.freed = false
		lo, hi := e.freeLo, e.freeHi
		for w := e.first; w != nil; {
			next := w.next
			if w.l.lo <= hi && lo <= w.l.hi && e.serve(w) {
				lo, hi = min(lo, w.l.lo), max(hi, w.l.hi)
			} else if !e.key.ranged {
				break // all want the same bytes, and none overtakes
			}
			if w = next; w != nil && !w.queued {
				w = e.first // the grant was the end of that one
			}
		}
	}
}

// serve asks whether w can be granted. It says whether w has left the queue, granted or failed.
func (e *entry) serve(w *waiter) bool {
	if w.ctx.Err() != nil { // nothing is granted to one who has given up
		e.finish(w, context.Cause(w.ctx))
		return true
	}
	if w.yielding {
		return false
	}
	if e.blocked(w.request) || e.behind(w.request, w) {
		w.rest()
		return false
	}
	err := e.take(w.request)
	if err == sys.ErrWouldBlock {
		w.poll()
		return false
	}
	e.finish(w, err)
	if err == nil {
		e.promote(w.l)
	}
	return true
}
