package lock

import (
	"context"
	"math/rand/v2"
	"time"
)

// Pauses between two looks at a lock that another process holds. The first ones are short since most locks are held
// shortly; the longest bounds both the cost of a long wait and how late its end is noticed.
const (
	firstPause   = 50 * time.Microsecond
	longestPause = 20 * time.Millisecond
)

// A process whose goroutines hand the lock on among themselves would keep it for ever, since others never see it
// free. So after longestTurn it stays away for a moment: one part in fifty, enough to be met sooner or later
// by another's poll, and at once by who is blocked in flock(2).
const (
	longestTurn = 50 * time.Millisecond
	stayAway    = time.Millisecond
)

// A waiter is a request in the queue.
//
//	            blocked by a holder of this process, or behind another waiter
//	           ┌────────────────────────────────────────────────┐
//	           ▼                                                │
//	queued, resting ──may go, but another process has it──▶ queued, polling
//	           │                                                │
//	           └──────── granted, failed or given up ───────────┘
//	                                  ▼
//	                             ready ──mu is free──▶ told
//
// All but what never changes is guarded by e.mu until the waiter is ready, and then belongs to whoever tells it.
type waiter struct {
	request
	ctx  context.Context
	e    *entry
	done func(error)   // told by a call of it,
	told chan struct{} // or by closing this

	prev, next *waiter // in the queue, or next in the list of those ready
	queued     bool
	polling    bool // timer is set
	yielding   bool // and w is not to look before
	pause      time.Duration
	timer      *time.Timer
	stop       func() bool // ends the watch on ctx; nil
	err        error
}

func newWaiter(ctx context.Context, e *entry, r request, done func(error)) *waiter {
	w := &waiter{request: r, ctx: ctx, e: e, done: done, pause: firstPause}
	if done == nil {
		w.told = make(chan struct{})
	}
	return w
}

// poll has w look again after a pause. Pauses are jittered, so that processes do not keep in step.
func (w *waiter) poll() {
	if w.polling {
		return // and its time will come
	}
	w.polling = true
	d := w.pause/2 + rand.N(w.pause/2)
	w.pause = min(w.pause*3/2, longestPause)
	w.set(d)
}

// yield has w leave the lock alone for a moment, though it could go.
func (w *waiter) yield() {
	w.rest()
	w.polling, w.yielding = true, true
	w.set(stayAway)
}

func (w *waiter) set(d time.Duration) {
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.again)
	} else {
		w.timer.Reset(d)
	}
}

// rest ends the polling.
func (w *waiter) rest() {
	if w.polling {
		w.polling, w.yielding = false, false
		w.timer.Stop() // too late is no harm: again looks
		w.pause = firstPause
	}
}

// again is what the timer calls.
func (w *waiter) again() {
	e := w.e
	e.mu.Lock()
	if w.queued && w.polling {
		w.polling, w.yielding = false, false
		if e.serve(w) {
			e.free(w.l)
		}
	}
	e.unlock()
}

// cancel takes w out of the queue, because ctx is done.
func (w *waiter) cancel() {
	e := w.e
	e.mu.Lock()
	if w.queued {
		e.finish(w, context.Cause(w.ctx))
		e.free(w.l)
	}
	e.unlock()
}

// watch has ctx cancel w, without a goroutine that waits for it.
func (w *waiter) watch() {
	if w.ctx.Done() == nil {
		return
	}
	stop := context.AfterFunc(w.ctx, w.cancel)
	w.e.mu.Lock()
	queued := w.queued
	if queued {
		w.stop = stop
	}
	w.e.mu.Unlock()
	if !queued {
		stop() // the outcome came first
	}
}

// deliver tells w its outcome. It is called once, without e.mu.
func (w *waiter) deliver() {
	if w.stop != nil {
		w.stop()
	}
	if w.done == nil {
		close(w.told)
	} else {
		w.done(w.l.failed("lock", w.err))
	}
}

// tell delivers to a list of waiters; if one of their functions panics, to the others all the same.
func tell(ready *waiter) {
	if ready == nil {
		return
	}
	defer func() { tell(ready) }()
	for ready != nil {
		w := ready
		ready = w.next
		w.deliver()
	}
}
