package lock

// A request is for l to hold mode. Its methods decide which locks exclude each
// other, from the locks alone; the state of an entry is applied to them in
// hold.go and queue.go.
type request struct {
	l    *Lock
	mode Mode
}

// overlaps reports whether l and o have any byte in common.
func (l *Lock) overlaps(o *Lock) bool { return l.lo <= o.hi && o.lo <= l.hi }

// covers reports whether all bytes of o are bytes of l.
func (l *Lock) covers(o *Lock) bool { return l.lo <= o.lo && o.hi <= l.hi }

// within reports whether l is h or nested in h, so that h does not block it.
func (l *Lock) within(h *Lock) bool {
	for ; l != nil; l = l.parent {
		if l == h {
			return true
		}
	}
	return false
}

// weakens reports whether r keeps or weakens the mode of its lock, which is
// always possible.
func (r request) weakens() bool { return r.mode <= r.l.mode }

// blockedBy reports whether r cannot be granted while h holds its mode.
func (r request) blockedBy(h *Lock) bool {
	return (r.mode == Exclusive || h.mode == Exclusive) && r.l.overlaps(h) && !r.l.within(h)
}

// waitsBehind reports whether r must not be granted before w, which came first.
func (r request) waitsBehind(w *waiter) bool {
	return (r.mode == Exclusive || w.mode == Exclusive) && r.l.overlaps(w.l) && r.l != w.l
}

// holdsAny reports whether r converts a lock that is held, or is nested in one.
func (r request) holdsAny() bool {
	for l := r.l; l != nil; l = l.parent {
		if l.mode != 0 {
			return true
		}
	}
	return false
}

// waitsOn reports whether w is blocked by r.l or by one of the locks that r.l
// is nested in. Since w cannot be granted until that lock is released, r must
// be queued before w. No waiter is queued behind one that waits on it.
func (w *waiter) waitsOn(r request) bool {
	for l := r.l; l != nil; l = l.parent {
		if l.mode != 0 && w.blockedBy(l) {
			return true
		}
	}
	return false
}
