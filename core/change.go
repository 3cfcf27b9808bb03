package core

import (
	"container/list"
	"context"
	"io/fs"
	"time"

	"github.com/fmmap-go/fmmap/internal/invariant"
)

// Change is a resize or a closing under way, for callers that must not block:
// it waits for the pins that stand in its way without holding a goroutine.
//
//	queued ──▶ waiting ──▶ ready ──▶ finishing ──▶ done
//	   └──────────┴──Cancel──┴──▶ done
//
// A change is queued behind the earlier ones of its file, waits for pins and
// running operations, and is then ready: Finish performs it. The caller that
// starts a change must end it with Finish, Detach or Cancel, since later
// changes wait for it.
type Change struct {
	file  *File
	op    string
	ready func(*Change)
	step  step

	// guarded by file.mu
	state    changeState
	place    *list.Element // in file.queue, until done
	wait     *wait         // while waiting; nil: nothing stands in the way
	report   *time.Timer   // will report that it waits; nil: none
	detached bool          // performed by the goroutine that makes it ready

	isReady chan struct{} // closed when ready, or done
	isDone  chan struct{} // closed when done, after err is set
	err     error
}

type changeState uint8

const (
	queued changeState = iota
	waiting
	ready
	finishing
	done
)

// step is a kind of change: resizeStep and refreshStep (resize.go), freezeStep
// (freeze.go), closeStep (close.go). Its methods are called by this file, in
// three parts, at three times and as a rule in three goroutines, because none of
// them waits for another:
//
//	1  submitted  in the call that begins the change (submit)
//	   start      there too, or when the changes queued before have ended (advance)
//	2  ready      of the Change, when the last use in the way ends (Pin.Release
//	              and File.leave, by wakeChanges and advance); an exclusive wait
//	              performs its change here
//	3  apply      in Finish, by the caller or by a worker of async
//	   undo       after an error; then the next change starts (advance)
//
// Where nothing is in the way, part 2 comes at once after start. Everything
// except apply runs under File.mu, and so does the exclusive function of a wait.
type step interface {
	// submitted does what takes effect at once, even if the change has to
	// queue. An error refuses the change.
	submitted(f *File) error
	// cancellable reports whether the change can be canceled.
	cancellable() bool
	// freezes reports whether later changes find the file frozen.
	freezes() bool
	// start publishes the window that new operations see from now on, and
	// returns the uses to wait for, nil for none. An error ends the change before
	// it began.
	start(f *File) (*wait, error)
	// apply performs the change, once nothing stands in the way. It may give up
	// when ctx is done, as after any other error.
	apply(ctx context.Context, f *File) error
	// undo takes back what start published.
	undo(f *File)
}

// plainStep is what most kinds of changes have in common.
type plainStep struct{}

func (plainStep) submitted(*File) error { return nil }
func (plainStep) cancellable() bool     { return true }
func (plainStep) freezes() bool         { return false }

// submit queues a change. Its ready function may be called before submit
// returns.
func (f *File) submit(op string, s step, readyFn func(*Change)) (*Change, error) {
	c := &Change{file: f, op: op, ready: readyFn, step: s, isReady: make(chan struct{}), isDone: make(chan struct{})}
	f.mu.Lock()
	err := error(fs.ErrClosed)
	if !f.closing {
		err = s.submitted(f)
	}
	if err != nil {
		f.mu.Unlock()
		return nil, f.fail(op, err)
	}
	c.place = f.queue.PushBack(c)
	calls := f.advance()
	f.mu.Unlock()
	run(calls)
	return c, nil
}

// advance moves the front of the queue as far as it goes without waiting, and
// returns what must be called once mu is released. The caller holds mu.
func (f *File) advance() (calls []func()) {
	for f.queue.Len() > 0 {
		c := f.queue.Front().Value.(*Change)
		if c.state == queued {
			w, err := c.step.start(f)
			if err != nil {
				calls = append(calls, f.finished(c, err), c.callReady)
				continue
			}
			c.wait, c.state = w, waiting
			if w != nil && w.exclusive == nil {
				w.block(f)
			}
		}
		if c.state != waiting {
			return calls
		}
		if !f.unblocked(c) {
			c.reportLater()
			return calls
		}
		c.stopReport()
		c.wait = nil
		if c.state == done { // performed exclusively
			calls = append(calls, f.finished(c, c.err), c.callReady)
			continue
		}
		c.state = ready
		close(c.isReady)
		calls = append(calls, c.callReady)
		if c.detached {
			calls = append(calls, func() { _ = c.Finish() })
		}
		return calls
	}
	return calls
}

// callReady tells the caller that began the change that Finish will not wait.
func (c *Change) callReady() {
	if c.ready != nil {
		c.ready(c)
	}
}

// finished ends the change at the front of the queue. The caller holds mu, and
// calls the function returned after it has released mu.
func (f *File) finished(c *Change, err error) func() {
	if invariant.Enabled {
		invariant.Check(f.queue.Front() == c.place, "a change has finished that is not at the front of the queue")
		invariant.Check(c.wait == nil, "a change has finished that still waits")
	}
	if c.state < ready {
		close(c.isReady)
	}
	c.state, c.err = done, f.fail(c.op, err)
	f.leaveQueue(c)
	return func() { close(c.isDone) }
}

// leaveQueue takes c out of the queue. The caller holds mu.
func (f *File) leaveQueue(c *Change) {
	f.queue.Remove(c.place)
	c.place = nil
}

func run(calls []func()) {
	for _, fn := range calls {
		fn()
	}
}

// Finish performs the change, after waiting for what stands in its way, and
// returns its outcome; later calls return the same. After an error the file,
// its length and its mapping are as they were, unless the change was a
// closing.
func (c *Change) Finish() error { return c.FinishContext(context.Background()) }

// FinishContext is like [Change.Finish], except that it gives up a growth when
// ctx is done before the new length shows: then nothing has changed, and the
// error wraps [context.Cause]. It does not stop waiting when ctx is done, and
// completes any other change.
func (c *Change) FinishContext(ctx context.Context) error {
	<-c.isReady
	f := c.file
	f.mu.Lock()
	if c.state != ready {
		f.mu.Unlock()
		<-c.isDone
		return c.err
	}
	c.state = finishing
	f.mu.Unlock()

	err := c.step.apply(ctx, f)

	f.mu.Lock()
	if err != nil {
		c.step.undo(f)
	}
	calls := []func(){f.finished(c, err)}
	calls = append(calls, f.advance()...)
	f.mu.Unlock()
	run(calls)
	<-c.isDone
	return c.err
}

// Cancel takes the change back and reports whether it could: then nothing has
// changed, and Finish returns [context.Canceled]. The ready function is not
// called if the change was not ready yet; if it was, the call may be running,
// or about to begin. A closing cannot be canceled, nor can a change that is
// being performed.
func (c *Change) Cancel() bool { return c.cancel(context.Canceled) }

func (c *Change) cancel(cause error) bool { return c.cancelBefore(finishing, cause) }

// cancelWaiting is Cancel of a change that is not ready yet.
func (c *Change) cancelWaiting(cause error) bool { return c.cancelBefore(ready, cause) }

// cancelBefore cancels the change if it has not reached the state yet, and
// reports whether it has done so.
func (c *Change) cancelBefore(state changeState, cause error) bool {
	f := c.file
	f.mu.Lock()
	if !c.step.cancellable() || c.state >= state {
		f.mu.Unlock()
		return false
	}
	began := c.state != queued
	if began {
		if c.wait != nil {
			c.wait.unblock(f)
			c.stopReport()
			c.wait = nil
		}
		c.step.undo(f)
	}
	if c.state < ready {
		close(c.isReady)
	}
	c.state, c.err = done, f.fail(c.op, cause)
	f.leaveQueue(c)
	close(c.isDone)
	var calls []func()
	if began {
		calls = f.advance()
	}
	f.mu.Unlock()
	run(calls)
	return true
}

// Detach lets the change finish by itself, in the goroutine that makes it
// ready: the one that releases the last pin, or this one.
func (c *Change) Detach() {
	f := c.file
	f.mu.Lock()
	c.detached = true
	isReady := c.state == ready
	f.mu.Unlock()
	if isReady {
		_ = c.Finish()
	}
}

// await finishes the change, or cancels it when ctx is done before it is
// ready.
func (c *Change) await(ctx context.Context) error {
	if !c.becomesReady(ctx) && c.cancel(context.Cause(ctx)) {
		return c.err
	}
	return c.Finish()
}

// becomesReady waits until the change is ready or ctx is done, and reports
// whether it is ready. On a tie it is.
func (c *Change) becomesReady(ctx context.Context) bool {
	select {
	case <-c.isReady:
		return true
	default:
	}
	select {
	case <-c.isReady:
		return true
	case <-ctx.Done():
		return false
	}
}
