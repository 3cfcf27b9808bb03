package flush_test

import (
	"errors"
	"runtime"
	"sync"

	"github.com/fmmap-go/fmmap/flush"
)

var errDisk = errors.New("disk on fire")

// finalError is an error after which the target is beyond repair.
type finalError struct{}

func (finalError) Error() string { return "beyond repair" }
func (finalError) Final() bool   { return true }

// rng is one call of FlushRange.
type rng struct{ off, n int64 }

// recorder is a target that notes its calls and does in each what flush says.
type recorder struct {
	flush func(call int, r rng) error // nil: succeed at once; call counts from 1

	mu    sync.Mutex
	calls []rng
}

func (r *recorder) FlushRange(off, n int64) error {
	r.mu.Lock()
	r.calls = append(r.calls, rng{off, n})
	call := len(r.calls)
	r.mu.Unlock()
	if r.flush == nil {
		return nil
	}
	return r.flush(call, rng{off, n})
}

func (r *recorder) seen() []rng {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]rng(nil), r.calls...)
}

// gated is a recorder whose every call waits for a value on the channel, which
// is its outcome.
func gated() (*recorder, chan error) {
	gate := make(chan error)
	return &recorder{flush: func(int, rng) error { return <-gate }}, gate
}

// failing is a recorder whose call number n fails with err.
func failing(n int, err error) *recorder {
	return &recorder{flush: func(call int, _ rng) error {
		if call == n {
			return err
		}
		return nil
	}}
}

// queue is an executor whose tasks the test runs by hand.
type queue struct {
	mu    sync.Mutex
	tasks []func(dropped error)
	err   error // refuse with this
}

func (q *queue) execute(task func(error)) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return q.err
	}
	q.tasks = append(q.tasks, task)
	return nil
}

func (q *queue) refuse(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err = err
}

// runOne runs the task at the head and reports whether there was one.
func (q *queue) runOne() bool { return q.takeOne(nil) }

// dropOne drops the task at the head with err.
func (q *queue) dropOne(err error) bool { return q.takeOne(err) }

func (q *queue) takeOne(dropped error) bool {
	q.mu.Lock()
	if len(q.tasks) == 0 {
		q.mu.Unlock()
		return false
	}
	task := q.tasks[0]
	q.tasks = q.tasks[1:]
	q.mu.Unlock()
	task(dropped)
	return true
}

// inline runs the task before it returns.
func inline(task func(error)) error {
	task(nil)
	return nil
}

// yield lets others run.
func yield() { runtime.Gosched() }

func spawn(task func(error)) error {
	go task(nil)
	return nil
}

// isDone reports whether b is over.
func isDone(b *flush.Batch) bool {
	select {
	case <-b.Done():
		return true
	default:
		return false
	}
}
