package lane

import (
	"container/list"
	"context"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/internal/invariant"
)

// A Lane is a bounded first-in first-out queue of tasks, and the number of
// workers that may drain it at once. Lanes are made by [New].
//
// A worker is a goroutine of the group's executor that runs drain: it takes
// tasks off the head until there are none, spins a few times (see spinner), and
// exits. Submitting starts a worker if fewer than width exist and no spinning
// worker is free to take the task. A worker about to finish a task does not
// count as free: callbacks of the task's Finish may keep it busy. So a lane
// with tasks has a worker, and an idle one has none:
//
//	tasks queued > 0  ⇒  workers > 0
//
// where a worker counts from before the executor is asked for it.
type Lane struct {
	group    *Group
	index    int // in the group
	width    int
	limit    int    // of tasks queued beyond those that could run
	drainFn  func() // drain, bound once
	maxSpins int    // of a worker before it exits

	// mu guards the fields up to the next blank line. It is held for a few
	// instructions: no task, hook, context or executor is called under it.
	mu       sync.Mutex
	queue    queue
	room     list.List // of *roomWaiter: calls of SubmitWait, oldest first
	workers  int
	spinning int    // workers that found the queue empty and will check it again
	started  int64  // tasks ever taken off the head
	samples  uint8  // counts tasks, to time some of them
	closed   bool   // submissions are refused
	drained  bool   // closed, and the last worker has exited
	refused  uint64 // with ErrOverloaded

	// ended counts the tasks taken off the head that are over. It is raised
	// before Finish is called, so that a caller that has seen the outcome finds
	// room. skipped counts those of them that were not run.
	ended, skipped atomic.Int64
	panics, drops  atomic.Int64
	longest        atomic.Int64 // longest time in the queue of those timed, in ns

	spinner spinner // of its workers, and of waiters for its tasks
}

// unlock unlocks mu.
func (l *Lane) unlock() {
	if invariant.Enabled {
		l.check()
	}
	l.mu.Unlock()
}

// check checks the invariants that hold whenever mu is unlocked.
func (l *Lane) check() {
	invariant.Check(l.queue.len >= 0 && (l.queue.len == 0) == (l.queue.head == nil), "queue of %d", l.queue.len)
	invariant.Check(l.workers >= 0 && l.workers <= l.width, "%d workers in a lane of %d", l.workers, l.width)
	invariant.Check(l.spinning >= 0 && l.spinning <= l.workers, "%d of %d workers spin", l.spinning, l.workers)
	invariant.Check(l.queue.len == 0 || l.workers > 0, "%d tasks queued and no worker", l.queue.len)
	invariant.Check(l.room.Len() == 0 || l.workers > 0, "%d callers wait for room and there is no worker", l.room.Len())
	invariant.Check(l.busy() >= 0 && l.busy() <= l.workers, "%d tasks run on %d workers", l.busy(), l.workers)
	invariant.Check(l.queue.len <= l.limit+l.width, "%d tasks queued, beyond the limit", l.queue.len)
	invariant.Check(!l.closed || l.room.Len() == 0, "%d callers wait for room in a closed lane", l.room.Len())
	invariant.Check(!l.drained || l.closed && l.workers == 0, "drained with %d workers", l.workers)
}

// busy returns how many tasks have been taken off the head and are not over.
// The caller holds mu.
func (l *Lane) busy() int { return int(l.started - l.ended.Load()) }

// full reports whether there is no room for another task. Tasks that run, or
// could run at once, count: so it does not matter how soon workers arrive. The
// caller holds mu.
func (l *Lane) full() bool { return l.queue.len+l.busy() >= l.limit+l.width }

// Submit queues n's task. It returns [ErrClosed], [ErrOverloaded], or the cause
// of the task's context if that is done. The task is not called then.
func (n *Node) Submit() error {
	l := n.context.lane
	if ctx := n.context.parent; ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l.mu.Lock()
	if l.closed {
		l.unlock()
		return ErrClosed
	}
	if l.room.Len() > 0 || l.full() { // callers of SubmitWait were here first
		l.refused++
		l.unlock()
		return ErrOverloaded
	}
	start := l.push(n)
	l.unlock()
	if start > 0 {
		l.start(start)
	}
	return nil
}

// Remove takes n, whose Claim will return false from now on, off the queue and
// counts the task as dropped with cause. It reports whether n was in the queue.
// If not, Claim may still be called, and the lane may refer to n until then.
func (n *Node) Remove(cause error) (unlinked bool) {
	l := n.context.lane
	l.mu.Lock()
	start := 0
	if unlinked = n.queued; unlinked {
		l.queue.remove(n)
		start = l.admit()
	}
	l.unlock()
	l.start(start)
	l.dropped(n, cause)
	return unlinked
}

// push queues n and returns how many workers the caller must start, which count
// already. The caller holds mu.
func (l *Lane) push(n *Node) (start int) {
	if l.workers < l.width && l.spinning <= l.queue.len {
		l.workers++
		start = 1
	}
	l.samples++
	if l.group.hooks.timed || l.samples%16 == 0 || l.busy()+l.queue.len == l.width {
		n.since = l.group.now()
	}
	l.queue.push(n)
	return start
}

// start asks the executor for n workers, which count already. If it refuses and
// there is no other worker, the queued tasks can never run, and fail. With
// another worker only width is lost.
func (l *Lane) start(n int) {
	for range n {
		err := l.group.start(l.drainFn)
		if err == nil {
			continue
		}
		l.mu.Lock()
		l.workers--
		var orphans *Node
		if l.workers == 0 {
			orphans = l.queue.takeAll()
			l.rejectWaiters(err)
		}
		drained := l.checkDrained()
		l.unlock()
		l.giveUpAll(orphans, err)
		if drained {
			l.group.laneDrained()
		}
	}
}

// drain is the loop of a worker. The executor runs it. It ends when the queue is
// empty, and Close of the group waits for that.
func (l *Lane) drain() {
	done := false
	defer func() {
		if !done { // a task called Goexit, which ends this goroutine: replace it
			l.start(1)
		}
	}()
	spins := 0 // since the last task
	for {
		n, spin := l.next(spins)
		if n != nil {
			spins = 0
			l.run(n)
		} else if spin {
			spins++
			l.spinner.spin()
		} else {
			break
		}
	}
	done = true
	if l.group.pooled {
		pprof.SetGoroutineLabels(context.Background())
	}
}

// next returns the task at the head. If there is none, it reports whether the
// calling worker, which has spun that often since its last task, is to spin;
// otherwise the worker no longer counts, and must exit.
func (l *Lane) next(spins int) (n *Node, spin bool) {
	l.mu.Lock()
	if spins > 0 {
		l.spinning--
	}
	start := 0
	if l.room.Len() > 0 {
		start = l.admit()
	}
	n = l.queue.head
	if n != nil {
		l.queue.remove(n)
		l.started++
		l.unlock()
		if start > 0 {
			l.start(start)
		}
		return n, false
	}
	if spins < l.maxSpins && !l.closed && l.spinner.allowed() {
		l.spinning++
		l.unlock()
		return nil, true
	}
	l.workers--
	drained := l.checkDrained()
	l.unlock()
	if drained {
		l.group.laneDrained()
	}
	return nil, false
}

// Spin lets other goroutines run once, if that is likely to be quick. A waiter
// for a queued task calls it before it blocks: most tasks take less time than
// putting the waiter to sleep and waking it.
func (l *Lane) Spin() {
	if l.maxSpins > 0 && l.spinner.allowed() {
		l.spinner.spin()
	}
}

// shut refuses submissions from now on. Queued tasks still run.
func (l *Lane) shut() {
	l.mu.Lock()
	l.closed = true
	l.rejectWaiters(ErrClosed)
	drained := l.checkDrained()
	l.unlock()
	if drained {
		l.group.laneDrained()
	}
}

// abort fails the queued tasks of a lane that has been shut.
func (l *Lane) abort() {
	l.mu.Lock()
	list := l.queue.takeAll()
	l.unlock()
	l.giveUpAll(list, ErrClosed)
}

// checkDrained reports, once, that a closed lane has no worker left, and so no
// task. The caller holds mu, and must call laneDrained after unlocking it.
func (l *Lane) checkDrained() bool {
	if !l.closed || l.drained || l.workers > 0 {
		return false
	}
	l.drained = true
	return true
}

// Stats describe a lane. See async.LaneStats.
type Stats struct {
	Width       int
	Queue       int
	Queued      int
	Waiting     int
	Running     int
	Done        uint64
	Panicked    uint64
	Dropped     uint64
	Overloaded  uint64
	LongestWait time.Duration
}

// Plus returns the figures of two lanes of one shape together: the counts of
// both, and the longer of the two longest waits.
func (s Stats) Plus(t Stats) Stats {
	s.Queued += t.Queued
	s.Waiting += t.Waiting
	s.Running += t.Running
	s.Done += t.Done
	s.Panicked += t.Panicked
	s.Dropped += t.Dropped
	s.Overloaded += t.Overloaded
	s.LongestWait = max(s.LongestWait, t.LongestWait)
	return s
}

// Stats returns figures that were all true at one moment.
func (l *Lane) Stats() Stats {
	l.mu.Lock()
	defer l.unlock()
	ended, skipped := l.ended.Load(), l.skipped.Load()
	return Stats{
		Width:       l.width,
		Queue:       l.limit,
		Queued:      l.queue.len,
		Waiting:     l.room.Len(),
		Running:     int(l.started - ended),
		Done:        uint64(ended - skipped),
		Panicked:    uint64(l.panics.Load()),
		Dropped:     uint64(l.drops.Load()),
		Overloaded:  l.refused,
		LongestWait: time.Duration(l.longest.Load()),
	}
}
