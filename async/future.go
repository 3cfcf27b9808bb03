package async

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// A Future is the outcome, a value or an error, of work that may not be done
// yet. It resolves exactly once, and everybody who waits for it sees the same.
// Its methods may be called concurrently. Dropping a future leaks nothing:
// nothing waits on its behalf.
//
// Futures come from [Go] and the other functions of this package; the zero
// Future never resolves.
//
//	queued ──────► running ──────► claimed ──► resolved
//	   │  a worker    ▲    done       ▲  │
//	   │              │ promises      │  └──► held ──► resolved
//	   └── Cancel, ctx, Close ────────┘   a resource   taken, or given back
//
// Every arrow is one compare-and-swap on the state, so that of a worker, a
// Cancel, a done context and a closing pool exactly one gets the future; who
// moved it to claimed writes the outcome, which storing the next state
// publishes.
type Future[T any] struct {
	// Futures are made by submit and submitOwned (task.go) for work in a lane, and
	// by newPromise and newOwned for outcomes that arrive otherwise, to be handed
	// over with resolve. One with a release function owns its value until somebody
	// takes it: see held.

	state  atomic.Uint32
	parked bool // somebody waits on group; guarded by mu

	mu        sync.Mutex    // a leaf: nothing is called under it
	done      chan struct{} // made when first asked for; guarded by mu
	callbacks *callback     // circular, oldest first; guarded by mu

	// group parks waits that no context can end: unlike a channel it is
	// there already, so that spawning and waiting is one allocation.
	group sync.WaitGroup

	// task is the work that will resolve this future, nil for a promise. It is
	// set before anybody else knows the future; whoever has claimed the state
	// may use it, anybody else under mu while the future is pending.
	task *task

	release func(T) // gives a value back that nobody wants; nil if it is no resource
	val     T       // val and err belong to who claimed the state, until it is published
	err     error
}

// States of a future. Those below held are pending.
const (
	queued   uint32 = iota // may be cancelled
	running                // a worker is at it, or it is a promise
	claimed                // the outcome is being written
	held                   // resolved with a resource that nobody has taken yet
	resolved               // resolved
)

// Ready returns a future that is resolved with v.
func Ready[T any](v T) *Future[T] {
	f := &Future[T]{val: v}
	f.state.Store(resolved)
	return f
}

// Failed returns a future that is resolved with err, which must not be nil.
func Failed[T any](err error) *Future[T] {
	f := &Future[T]{err: err}
	f.state.Store(resolved)
	return f
}

// Promise returns a future and the function that resolves it. The first call
// of that function wins and returns true; any later one changes nothing and
// returns false. It may be called from any goroutine and does not block. A
// promise that nobody keeps stays pending; Cancel has no power over it.
func Promise[T any]() (*Future[T], func(T, error) bool) {
	f := newPromise[T]()
	return f, f.resolve
}

func newPromise[T any]() *Future[T] {
	f := new(Future[T])
	f.state.Store(running)
	return f
}

// newOwned returns a promise of a resource: see held.
func newOwned[T any](release func(T)) *Future[T] {
	f := newPromise[T]()
	f.release = release
	return f
}

// readyOwned returns a future resolved with a resource that is given back with
// release if the future is collected before anybody has taken it.
func readyOwned[T any](v T, release func(T)) *Future[T] {
	f := &Future[T]{val: v, release: release}
	f.state.Store(held)
	runtime.SetFinalizer(f, abandon)
	return f
}

// resolve resolves a promise, once: it reports false, and gives the value back
// if that is a resource, when the future has been resolved before.
func (f *Future[T]) resolve(v T, err error) bool {
	list, won := f.settle(running, v, err)
	if !won {
		if f.release != nil && err == nil {
			f.release(v)
		}
		return false
	}
	fire(list)
	return true
}

// resolveFor is resolve for an outcome that was asked for with ctx: a resource
// that arrives when ctx is done is given back, and the future fails.
func (f *Future[T]) resolveFor(ctx context.Context, v T, err error) bool {
	if f.release != nil && err == nil && ctx.Err() != nil {
		f.release(v)
		var zero T
		return f.resolve(zero, context.Cause(ctx))
	}
	return f.resolve(v, err)
}

// settle claims f out of the given state and publishes the outcome. It returns
// the callbacks to fire, and whether the claim was won.
func (f *Future[T]) settle(from uint32, v T, err error) (*callback, bool) {
	if !f.state.CompareAndSwap(from, claimed) {
		return nil, false
	}
	return f.publish(v, err), true
}

// publish writes the outcome of a claimed future and wakes who waits for it.
// It returns the callbacks, to be fired by the caller, under no lock.
func (f *Future[T]) publish(v T, err error) *callback {
	f.val, f.err = v, err
	final := resolved
	if f.release != nil && err == nil {
		final = held
		runtime.SetFinalizer(f, abandon)
	}
	f.mu.Lock()
	if final == held {
		f.task = nil // it may be part of f, and what points to itself is never finalized
	}
	f.state.Store(final)
	done, parked, list := f.done, f.parked, f.callbacks
	f.callbacks = nil
	f.mu.Unlock()
	if done != nil {
		close(done)
	}
	if parked {
		f.group.Done()
	}
	return list
}

// take returns the outcome of a resolved future. If that is a resource, it is
// the caller's from now on, and of everybody else who takes it.
//
// A future with a resource that nobody took gives it back when it is
// collected. That is a finalizer and not a [runtime.AddCleanup], because the
// value is in the future: 290 ns and no allocation, against 510 ns and three
// with a cleanup, which needs a copy of the value and a flag outside of the
// future. Futures without a release function pay a comparison.
func (f *Future[T]) take() (T, error) {
	if f.release != nil && f.state.CompareAndSwap(held, resolved) {
		runtime.SetFinalizer(f, nil)
	}
	return f.val, f.err
}

// abandon is the finalizer of a held future. It is no method of one, which would
// be a closure to allocate.
func abandon(f interface{ abandoned() }) { f.abandoned() }

func (f *Future[T]) abandoned() {
	if f.state.CompareAndSwap(held, resolved) {
		f.release(f.val)
	}
}

// Done returns a channel that is closed when f is resolved, for use in a select
// statement. It is the same channel at each call.
func (f *Future[T]) Done() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done == nil {
		f.done = make(chan struct{})
		if f.state.Load() >= held {
			close(f.done)
		}
	}
	return f.done
}

// Err returns nil while f is pending and then the error it resolved with,
// which is nil for a success: like [context.Context], look at Done or
// TryResult to tell pending from success.
func (f *Future[T]) Err() error {
	if f.state.Load() < held {
		return nil
	}
	return f.err
}

// TryResult returns the outcome if there is one, without waiting; ok is false
// while f is pending.
func (f *Future[T]) TryResult() (v T, err error, ok bool) {
	if f.state.Load() < held {
		return v, nil, false
	}
	v, err = f.take()
	return v, err, true
}

// Wait blocks until f is resolved and returns its error. It has the shape that
// an errgroup wants: g.Go(f.Wait). A task must not Wait for work of its own
// lane: Await with the task's context notices that, Wait cannot.
func (f *Future[T]) Wait() error {
	if f.state.Load() < held && !f.yield() {
		f.park()
	}
	return f.err
}

// Await blocks until f is resolved, and returns its outcome, or until ctx is
// done. Then it returns an [*AwaitError] around context.Cause(ctx), and the
// work goes on. If both are the case, the outcome wins: Await of a resolved
// future never looks at ctx.
//
// The context of a task, given to Await for a pending future of the lane which
// that task occupies, is answered with [ErrSelfWait] in an *AwaitError: with
// all workers of a lane waiting for queued work of the same lane, none would
// ever be free to do it.
func (f *Future[T]) Await(ctx context.Context) (T, error) {
	if f.state.Load() == resolved {
		return f.val, f.err
	}
	return f.await(ctx)
}

func (f *Future[T]) await(ctx context.Context) (T, error) {
	if f.state.Load() < held {
		if err := f.block(ctx); err != nil {
			var zero T
			return zero, err
		}
	}
	return f.take()
}

// block waits until f is resolved or ctx is done, and prefers the former.
func (f *Future[T]) block(ctx context.Context) error {
	if l := laneOf(ctx); l != nil && f.occupies(l) {
		return &AwaitError{Cause: ErrSelfWait}
	}
	if f.yield() {
		return nil
	}
	quit := ctx.Done()
	if quit == nil {
		f.park()
		return nil
	}
	select {
	case <-f.Done():
		return nil
	case <-quit:
	}
	if f.state.Load() >= held {
		return nil
	}
	return &AwaitError{Cause: context.Cause(ctx), Err: ctx.Err()}
}

// yield lets others run once, if f's work is still queued and there is time for
// that, and reports whether f is resolved then. Most tasks are shorter than
// putting their waiter to sleep and waking it takes.
func (f *Future[T]) yield() bool {
	if f.state.Load() == queued {
		f.mu.Lock()
		t := f.task
		f.mu.Unlock()
		if t != nil && t.lane != nil && t.lane.patience.spare() {
			t.lane.patience.look()
		}
	}
	return f.state.Load() >= held
}

// park blocks until f is resolved. The first to park raises the group, and
// publish, which finds that under the same mutex, lowers it.
func (f *Future[T]) park() {
	f.mu.Lock()
	if f.state.Load() >= held {
		f.mu.Unlock()
		return
	}
	if !f.parked {
		f.parked = true
		f.group.Add(1)
	}
	f.mu.Unlock()
	f.group.Wait()
}

// occupies reports whether resolving f needs a worker of l.
func (f *Future[T]) occupies(l *lane) bool {
	f.mu.Lock()
	var t *task
	if f.state.Load() < held {
		t = f.task
	}
	f.mu.Unlock()
	return t != nil && t.occupies(l)
}

// Cancel drops the work of f if it has not started: it then never will, f
// resolves at once with cause ([ErrCanceled] if that is nil), and Cancel
// returns true, to one caller. In every other case, work that runs included,
// it returns false and changes nothing; running work is told to stop by the
// context it was submitted with.
func (f *Future[T]) Cancel(cause error) bool {
	if cause == nil {
		cause = ErrCanceled
	}
	if !f.state.CompareAndSwap(queued, claimed) {
		return false
	}
	if t := f.task; t != nil {
		unlinked := t.lane.removed(t, cause)
		if w, ok := t.work.(interface{ cancelled(unlinked bool) }); ok {
			w.cancelled(unlinked)
		}
	}
	var zero T
	fire(f.publish(zero, cause))
	return true
}
