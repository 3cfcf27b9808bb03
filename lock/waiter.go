package lock

import (
	"container/list"
	"context"
	"math/rand/v2"
	"time"
)

// Pauses between two attempts at a lock that another process holds. The first
// ones are short since most locks are held shortly; the longest bounds both the
// cost of a long wait and how late its end is noticed.
const (
	firstPause   = 50 * time.Microsecond
	longestPause = 20 * time.Millisecond
)

// A process whose goroutines hand the lock on among themselves would keep it
// for ever, since other processes never see it free. So after longestTurn it
// leaves the lock alone for stayAway: one part in fifty, enough for another
// process's poll to meet it sooner or later, and for one blocked in flock(2) at
// once.
const (
	longestTurn = 50 * time.Millisecond
	stayAway    = time.Millisecond
)

// A waiter is a request in the queue.
//
//	            blocked by a holder of this process, or behind another waiter
//	           ┌────────────────────────────────────────────────┐
//	           ▼                                                │
//	queued, sleeping ──not blocked, but another process ──▶ queued, polling
//	           │       has the lock                             │
//	           └──────── granted, failed or given up ───────────┘
//	                                  ▼
//	                         granted ──mu is free──▶ delivered
//
// Everything that changes is guarded by e.mu while the waiter is queued, and
// then belongs to the goroutine that delivers the outcome.
type waiter struct {
	request
	ctx     context.Context
	e       *entry
	done    func(error)   // called with the outcome; nil:
	outcome chan struct{} // closed when err is set

	element  *list.Element // in the queue; nil when out of it
	node     node[*waiter]
	place    int64 // increases from front to back
	polling  bool  // timer is set
	yielding bool  // polling, and not to be granted before the timer fires
	pause    time.Duration
	timer    *time.Timer
	stop     func() bool // ends the watch on ctx; nil
	err      error
}

func newWaiter(ctx context.Context, e *entry, r request, done func(error)) *waiter {
	w := &waiter{request: r, ctx: ctx, e: e, done: done, pause: firstPause}
	if done == nil {
		w.outcome = make(chan struct{})
	}
	return w
}

func (w *waiter) queued() bool  { return w.element != nil }
func (w *waiter) prev() *waiter { return waiterOf(w.element.Prev()) }
func (w *waiter) next() *waiter { return waiterOf(w.element.Next()) }

// waiterOf returns the waiter of an element, nil for nil.
func waiterOf(e *list.Element) *waiter {
	if e == nil {
		return nil
	}
	return e.Value.(*waiter)
}

// poll makes w try again after a pause. Pauses are jittered, so that processes
// do not keep in step.
func (w *waiter) poll() {
	if w.polling {
		return
	}
	w.polling = true
	d := w.pause/2 + rand.N(w.pause/2)
	w.pause = min(w.pause*3/2, longestPause)
	w.setTimer(d)
}

// yield makes w leave the lock alone for a moment, though it could be granted.
func (w *waiter) yield() {
	w.stopPolling()
	w.polling, w.yielding = true, true
	w.setTimer(stayAway)
}

func (w *waiter) setTimer(d time.Duration) {
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.tryAgain)
	} else {
		w.timer.Reset(d)
	}
}

func (w *waiter) stopPolling() {
	if w.polling {
		w.polling, w.yielding = false, false
		w.timer.Stop() // if that is too late, tryAgain finds that w does not poll
		w.pause = firstPause
	}
}

// tryAgain is called by the timer.
func (w *waiter) tryAgain() {
	e := w.e
	e.mu.Lock()
	if w.queued() && w.polling {
		w.polling, w.yielding = false, false
		if e.serve(w) {
			e.free(w.l)
		}
	}
	e.unlock()
}

// cancel removes w from the queue, because ctx is done.
func (w *waiter) cancel() {
	e := w.e
	e.mu.Lock()
	if w.queued() {
		e.finish(w, context.Cause(w.ctx))
		e.free(w.l)
	}
	e.unlock()
}

// watch makes ctx cancel w, without a goroutine that waits for it.
func (w *waiter) watch() {
	if w.ctx.Done() == nil {
		return
	}
	stop := context.AfterFunc(w.ctx, w.cancel)
	w.e.mu.Lock()
	queued := w.queued()
	if queued {
		w.stop = stop
	}
	w.e.mu.Unlock()
	if !queued {
		stop() // the outcome came first
	}
}

// deliver passes the outcome to the caller. It is called once, without e.mu.
func (w *waiter) deliver() {
	if w.stop != nil {
		w.stop()
	}
	if w.done == nil {
		close(w.outcome)
	} else {
		w.done(w.l.failed("lock", w.err))
	}
}

// deliverAll delivers to all waiters, to the rest even when the function of one
// panics.
func deliverAll(waiters []*waiter) {
	if len(waiters) == 0 {
		return
	}
	defer func() { deliverAll(waiters) }()
	for len(waiters) > 0 {
		w := waiters[0]
		waiters = waiters[1:]
		w.deliver()
	}
}
