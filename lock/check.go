package lock

import (
	"github.com/fmmap-go/fmmap/internal/invariant"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// maxChecked bounds the holders and waiters of an entry that check looks at, since
// it compares each with all.
const maxChecked = 64

// check checks the invariants that hold at the end of each critical section.
func (e *entry) check() {
	if !invariant.Enabled {
		return
	}
	holders, exclusive := 0, 0
	for _, h := range e.handles {
		invariant.Check(h.refs > 0 && h.shared >= 0 && h.exclusive >= 0, "lock: handle %+v", h)
		holders += h.shared + h.exclusive
		exclusive += h.exclusive
	}
	invariant.Check(exclusive == e.exclusive, "lock: handles count %d exclusive holders, the entry %d", exclusive, e.exclusive)
	if holders > maxChecked || e.queue.list.Len() > maxChecked {
		return
	}
	defer func(h, q int) { e.holders.steps, e.queue.ranges.steps = h, q }(e.holders.steps, e.queue.ranges.steps)

	for l := range e.holders.overlapping(0, sys.EndOfFile) {
		holders--
		invariant.Check(l.mode != 0 && l.entry.Load() == e && l.h != nil, "lock: a holder that holds nothing")
		for o := range e.holders.overlapping(l.lo, l.hi) {
			excluded := (request{l, l.mode}).blockedBy(o) && !o.within(l)
			invariant.Check(!excluded, "lock: %v and %v of one range are held at once", l.mode, o.mode)
		}
	}
	invariant.Check(holders == 0, "lock: handles count %d holders more than there are", holders)

	last := int64(0)
	for w := e.queue.first(); w != nil; w = w.next() {
		invariant.Check(w.l.entry.Load() == e && w.l.pending > 0, "lock: a waiter whose lock does not wait")
		invariant.Check(last < w.place, "lock: places of waiters out of order")
		last = w.place
		// A waiter that sleeps is granted by the call that unblocks it.
		invariant.Check(w.polling || w.ctx.Err() != nil || e.blocked(w.request) || e.mustQueueBehind(w.request, w),
			"lock: a waiter sleeps that waits for no lock of this process")
	}
}
