package async

import (
	"context"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"
)

// A lane is a bounded first-in first-out queue of tasks and the number of
// workers that may work through it at once.
//
// A worker is a goroutine of the executor that runs drain: it takes tasks off
// the head until there are none, lets others run and looks again, if that does
// not take long (see patience), and leaves. Whoever submits starts one if fewer
// than width are there, unless one is looking that no other task has use for.
// (Also if one is about to be free: what the future sets off that it has just
// resolved may keep it busy.) So while a lane has tasks it has a worker, and an
// idle lane owns no goroutine:
//
//	tasks queued > 0  ⇒  workers > 0, or a Submit of the executor is under way
//
// Lanes know nothing of each other, and no worker ever waits for a task.
//
// For the rest of the package: a Pool has its lanes in p.lanes, by name.
// submit and submitOwned (task.go) queue work that makes a future; execute
// queues a plain function.
type lane struct {
	pool  *Pool
	name  Lane
	width int
	limit int    // tasks queued beyond those that could run
	loop  func() // drain, bound once
	looks int    // how often a worker looks again; none on the submitters' own goroutines

	// mu guards the fields up to the next blank line. It is held for a few
	// instructions; no task, hook, context or executor is called under it.
	mu      sync.Mutex
	head    *task
	tail    *task
	n       int // tasks in the queue
	workers int
	looking int      // of the workers, those that have found nothing and will look again
	started int64    // tasks taken off the head, ever
	tick    uint8    // for sampling waits
	closed  bool     // submissions are refused
	quiet   bool     // closed, and the last worker has left: told to the pool
	first   *waiting // calls of GoWait that wait for room, oldest first
	last    *waiting
	waits   int
	refused uint64 // with ErrOverloaded

	// left counts the tasks taken off the head that are over. It is raised
	// before a task's future resolves, so that whoever has seen the outcome
	// finds the room. skipped are those of them that never ran.
	left, skipped atomic.Int64
	panics, drops atomic.Int64
	longest       atomic.Int64 // nanoseconds that a task was queued, of those timed

	patience patience // of its workers, and of who waits for its tasks
}

// busy returns how many tasks have been taken off the head and are not over.
// The caller holds mu.
func (l *lane) busy() int { return int(l.started - l.left.Load()) }

// full reports whether there is no room for another task. Tasks count that run
// or could run at once, so that it does not matter how fast workers arrive. The
// caller holds mu.
func (l *lane) full() bool { return l.n+l.busy() >= l.limit+l.width }

// looks is how often a worker whose lane is empty lets others run and looks
// again before it leaves. Who spawns a task and awaits it, again and again, then
// finds the worker of the last one: that saves starting it anew, which takes
// longer than the rest, and is over within microseconds if nobody comes.
const looks = 2

// submit queues t, or says why not: ErrClosed, ErrOverloaded, or the cause of
// a context that is done. What fails later, t's work learns by drop.
func (l *lane) submit(t *task) error {
	if t.parent.Err() != nil {
		return context.Cause(t.parent)
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	if l.first != nil || l.full() { // GoWait's callers were here first
		l.refused++
		l.mu.Unlock()
		return ErrOverloaded
	}
	start := l.push(t)
	l.mu.Unlock()
	if start > 0 {
		l.start(start)
	}
	return nil
}

// push queues t and returns how many workers the caller must start, which are
// counted already. The caller holds mu.
func (l *lane) push(t *task) (start int) {
	if l.workers < l.width && l.looking <= l.n {
		l.workers++
		start = 1
	}
	l.tick++
	if l.pool.hooks != nil || l.tick%16 == 0 || l.busy()+l.n == l.width {
		t.since = l.pool.now()
	}
	t.queued = true
	t.prev = l.tail
	if l.tail == nil {
		l.head = t
	} else {
		l.tail.next = t
	}
	l.tail = t
	l.n++
	return start
}

// unlink takes t out of the queue. The caller holds mu, and t is queued.
func (l *lane) unlink(t *task) {
	if t.prev == nil {
		l.head = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		l.tail = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.next, t.prev, t.queued = nil, nil, false
	l.n--
}

// start asks the executor for n workers, which are counted already. If it
// refuses and there is no other worker, nobody would ever run what is queued:
// that fails. With another worker, nothing is lost but width.
func (l *lane) start(n int) {
	for range n {
		err := l.pool.executor.Submit(l.loop)
		if err == nil {
			continue
		}
		l.mu.Lock()
		l.workers--
		var orphans *task
		if l.workers == 0 {
			orphans = l.takeAll()
			l.turnAway(err)
		}
		quiet := l.checkQuiet()
		l.mu.Unlock()
		dropAll(orphans, err)
		if quiet {
			l.pool.laneQuiet()
		}
	}
}

// drain is what a worker does. The executor runs it; it ends when the lane is
// empty, which whoever closes the pool waits for.
func (l *lane) drain() {
	done := false
	defer func() {
		if !done { // a task's Goexit ends this goroutine: another takes its place
			l.start(1)
		}
	}()
	looked := 0 // in vain
	for {
		t, again := l.next(looked)
		if t != nil {
			looked = 0
			t.work.run()
		} else if again {
			looked++
			l.patience.look()
		} else {
			break
		}
	}
	done = true
	if l.pool.lent {
		pprof.SetGoroutineLabels(context.Background())
	}
}

// next takes the task at the head. If there is none, it reports whether the
// worker that asks, and has looked so often in vain, is to look again; otherwise
// it is off the lane.
func (l *lane) next(looked int) (t *task, again bool) {
	l.mu.Lock()
	if looked > 0 {
		l.looking--
	}
	start := 0
	if l.first != nil {
		start = l.admit()
	}
	t = l.head
	if t != nil {
		l.unlink(t)
		l.started++
		l.mu.Unlock()
		if start > 0 {
			l.start(start)
		}
		return t, false
	}
	if looked < l.looks && !l.closed && l.patience.spare() {
		l.looking++
		l.mu.Unlock()
		return nil, true
	}
	l.workers--
	quiet := l.checkQuiet()
	l.mu.Unlock()
	if quiet {
		l.pool.laneQuiet()
	}
	return nil, false
}

// removed takes the task of a future that Cancel has claimed off the queue, and
// reports whether it was there.
func (l *lane) removed(t *task, cause error) (unlinked bool) {
	l.mu.Lock()
	start := 0
	if unlinked = t.queued; unlinked {
		l.unlink(t)
		start = l.admit()
	}
	l.mu.Unlock()
	l.start(start)
	l.dropped(t, cause)
	return unlinked
}

// takeAll empties the queue and returns what was in it, linked by next. The
// caller holds mu.
func (l *lane) takeAll() *task {
	list := l.head
	for t := list; t != nil; t = t.next {
		t.queued = false
	}
	l.head, l.tail, l.n = nil, nil, 0
	return list
}

// dropAll fails a list that takeAll has returned.
func dropAll(list *task, err error) {
	for list != nil {
		t := list
		list = t.next
		t.next, t.prev = nil, nil
		t.work.drop(err)
	}
}

// shut refuses submissions from now on. What is queued is still worked off.
func (l *lane) shut() {
	l.mu.Lock()
	l.closed = true
	l.turnAway(ErrClosed)
	quiet := l.checkQuiet()
	l.mu.Unlock()
	if quiet {
		l.pool.laneQuiet()
	}
}

// abort fails what is queued in a lane that has been shut.
func (l *lane) abort() {
	l.mu.Lock()
	list := l.takeAll()
	l.mu.Unlock()
	dropAll(list, ErrClosed)
}

// checkQuiet reports, once, that a closed lane has no worker left, and so no
// task. The caller holds mu, and tells the pool when it no longer does.
func (l *lane) checkQuiet() bool {
	if !l.closed || l.quiet || l.workers > 0 {
		return false
	}
	l.quiet = true
	return true
}

// idle reports whether no worker is there or on its way.
func (l *lane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.workers == 0
}

func (l *lane) stats() LaneStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	left, skipped := l.left.Load(), l.skipped.Load()
	return LaneStats{
		Width:       l.width,
		Queue:       l.limit,
		Queued:      l.n,
		Waiting:     l.waits,
		Running:     int(l.started - left),
		Done:        uint64(left - skipped),
		Panicked:    uint64(l.panics.Load()),
		Dropped:     uint64(l.drops.Load()),
		Overloaded:  l.refused,
		LongestWait: time.Duration(l.longest.Load()),
	}
}
