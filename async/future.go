package async

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/internal/lane"
)

// A Future is the outcome, a value or an error, of work that may not be done
// yet. It resolves exactly once, with the same outcome for all waiters.
// Its methods may be called concurrently. Dropping a future leaks nothing:
// nothing waits on its behalf.
//
// Futures come from [Go] and the other functions of this package; the zero
// Future never resolves.
//
//	queued ──────► running ──────► claimed ──► resolved
//	   │  a worker    ▲    done       ▲  │
//	   │              │ promises      │  └──► untaken ──► resolved
//	   └── Cancel, ctx, Close ────────┘   a resource    taken, or released
//
// Every arrow out of queued and into claimed is one compare-and-swap on the
// state, so that of a worker, a Cancel, a done context and a closing pool
// exactly one gets the future. The one that does writes the outcome, which the
// store of the next state publishes.
type Future[T any] struct {
	// Futures are made by newTask (task.go) for work in a lane, and by
	// newPromise and newOwned for outcomes that arrive otherwise, by resolve.
	// One with a release function owns its value until that is taken.

	state atomic.Uint32

	mu        sync.Mutex    // a leaf: nothing is called under it
	done      chan struct{} // made by the first Done; guarded by mu
	callbacks *callback     // circular, oldest first; guarded by mu

	// node is that of the task that will resolve this future, nil for a promise.
	// It is set before the future is shared. The goroutine that has claimed the
	// state may use it, any other under mu while the future is pending.
	node *lane.Node

	release func(T) // releases a value that was never taken; nil if it is no resource
	val     T       // val and err belong to the goroutine that claimed the state,
	err     error   // until they are published
}

// States of a future. Those below untaken are pending.
const (
	queued   uint32 = iota // may be cancelled
	running                // a worker runs the task, or it is a promise
	claimed                // the outcome is being written
	untaken                // resolved with a resource that nothing has taken yet
	resolved               // resolved
)

// pending reports whether f is not resolved.
func (f *Future[T]) pending() bool { return f.state.Load() < untaken }

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
// promise whose function is never called stays pending; Cancel does not affect
// it.
func Promise[T any]() (*Future[T], func(T, error) bool) {
	f := newPromise[T]()
	return f, f.resolve
}

func newPromise[T any]() *Future[T] {
	f := new(Future[T])
	f.state.Store(running)
	return f
}

// newOwned returns a promise of a resource, which release releases if the future
// is collected before the resource has been taken.
func newOwned[T any](release func(T)) *Future[T] {
	f := newPromise[T]()
	f.release = release
	return f
}

// readyOwned returns a future that is resolved with a resource: see newOwned.
func readyOwned[T any](v T, release func(T)) *Future[T] {
	f := &Future[T]{val: v, release: release}
	f.state.Store(untaken)
	runtime.SetFinalizer(f, abandon)
	return f
}

// resolve resolves a promise, once: if it was resolved before, resolve returns
// false, and releases v if that is a resource.
func (f *Future[T]) resolve(v T, err error) bool {
	list, won := f.complete(running, v, err)
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
// that arrives when ctx is done is released, and the future fails.
func (f *Future[T]) resolveFor(ctx context.Context, v T, err error) bool {
	if f.release != nil && err == nil && ctx.Err() != nil {
		f.release(v)
		var zero T
		return f.resolve(zero, context.Cause(ctx))
	}
	return f.resolve(v, err)
}

// complete claims f out of the state from and publishes the outcome. It returns
// the callbacks to fire, and whether it won the claim.
func (f *Future[T]) complete(from uint32, v T, err error) (*callback, bool) {
	if !f.state.CompareAndSwap(from, claimed) {
		return nil, false
	}
	return f.publish(v, err), true
}

// publish writes the outcome of a claimed future and wakes its waiters. It
// returns the callbacks, which the caller fires, under no lock.
func (f *Future[T]) publish(v T, err error) *callback {
	f.val, f.err = v, err
	final := resolved
	if f.release != nil && err == nil {
		final = untaken
		runtime.SetFinalizer(f, abandon)
	}
	f.mu.Lock()
	if final == untaken {
		f.node = nil // may be part of f, and what refers to itself need not be finalized
	}
	f.state.Store(final)
	done, list := f.done, f.callbacks
	f.callbacks = nil
	f.mu.Unlock()
	if done != nil {
		close(done)
	}
	return list
}

// take returns the outcome of a resolved future. A resource is the caller's from
// then on, and that of every other caller of take.
//
// A resource that was never taken is released when its future is collected, by a
// finalizer of the future. A [runtime.AddCleanup], which must not refer to the
// future, would need a copy of the value and a flag outside of it, which is
// three allocations and twice the time. Futures without a release function pay
// a comparison.
func (f *Future[T]) take() (T, error) {
	if f.release != nil && f.state.CompareAndSwap(untaken, resolved) {
		runtime.SetFinalizer(f, nil)
	}
	return f.val, f.err
}

// abandon is the finalizer of a future with an untaken resource. It is a
// function because a method value would allocate.
func abandon(f interface{ abandoned() }) { f.abandoned() }

func (f *Future[T]) abandoned() {
	if f.state.CompareAndSwap(untaken, resolved) {
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
		if !f.pending() {
			close(f.done)
		}
	}
	return f.done
}

// Err returns nil while f is pending and then the error it resolved with,
// which is nil for a success: as with [context.Context], Done or TryResult
// distinguish pending from success.
func (f *Future[T]) Err() error {
	if f.pending() {
		return nil
	}
	return f.err
}

// TryResult returns the outcome if there is one, without waiting; ok is false
// while f is pending.
func (f *Future[T]) TryResult() (v T, err error, ok bool) {
	if f.pending() {
		return v, nil, false
	}
	v, err = f.take()
	return v, err, true
}

// Wait blocks until f is resolved and returns its error. It can be passed to an
// errgroup: g.Go(f.Wait). A task must not Wait for work of its own lane: Await
// with the task's context notices that, Wait cannot.
func (f *Future[T]) Wait() error {
	if f.pending() && !f.spin() {
		<-f.Done()
	}
	return f.err
}

// Await blocks until f is resolved, and returns its outcome, or until ctx is
// done. Then it returns an [*AwaitError] around context.Cause(ctx), and the
// work goes on. If both are the case, the outcome wins: Await of a resolved
// future never looks at ctx.
//
// A task that passes its context to Await for a pending future of the lane it
// occupies gets [ErrSelfWait] in an *AwaitError: with all workers of a lane
// waiting for queued work of the same lane, none would be free to do it. That
// holds for the futures of [Go], [Then] and the methods of [File]; one that
// [All] or [Any] made of them is not recognized.
func (f *Future[T]) Await(ctx context.Context) (T, error) {
	if f.state.Load() == resolved {
		return f.val, f.err
	}
	return f.await(ctx)
}

func (f *Future[T]) await(ctx context.Context) (T, error) {
	if f.pending() {
		if err := f.block(ctx); err != nil {
			var zero T
			return zero, err
		}
	}
	return f.take()
}

// block waits until f is resolved or ctx is done, and prefers the former.
func (f *Future[T]) block(ctx context.Context) error {
	if f.occupies(lane.Of(ctx)) {
		return &AwaitError{Cause: ErrSelfWait}
	}
	if f.spin() {
		return nil
	}
	quit := ctx.Done()
	if quit == nil {
		<-f.Done()
		return nil
	}
	select {
	case <-f.Done():
		return nil
	case <-quit:
	}
	if !f.pending() {
		return nil
	}
	return &AwaitError{Cause: context.Cause(ctx), Err: ctx.Err()}
}

// spin lets other goroutines run once, if f's task is still queued and that is
// likely to be quick, and reports whether f is resolved then. It spares short
// tasks the channel, and their waiters the sleep.
func (f *Future[T]) spin() bool {
	if f.state.Load() == queued {
		if l := f.lane(); l != nil {
			l.Spin()
		}
	}
	return !f.pending()
}

// lane returns the lane that f's task needs, nil if there is none or f is
// resolved.
func (f *Future[T]) lane() *lane.Lane {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.node == nil || !f.pending() {
		return nil
	}
	return f.node.Lane()
}

// occupies reports whether resolving f needs a worker of l, which may be nil.
func (f *Future[T]) occupies(l *lane.Lane) bool { return l != nil && f.lane() == l }

// Cancel drops the work of f if it has not started: it then never will, f
// resolves at once with cause ([context.Canceled] if that is nil), and Cancel
// returns true, to one caller. In every other case, including work that runs,
// it returns false and changes nothing; running work is told to stop by the
// context it was submitted with.
func (f *Future[T]) Cancel(cause error) bool {
	if cause == nil {
		cause = context.Canceled
	}
	if !f.state.CompareAndSwap(queued, claimed) {
		return false
	}
	if n := f.node; n != nil {
		unlinked := n.Remove(cause)
		n.Task().(cancellable).cancelled(unlinked)
	}
	var zero T
	fire(f.publish(zero, cause))
	return true
}

// cancellable is implemented by every task with a future. The Cancel that has
// claimed the future calls cancelled, once; unlinked reports whether it took the
// task off the queue, so that no worker will see it.
type cancellable interface {
	cancelled(unlinked bool)
}

// A waiter is called by the goroutine that resolves the i-th future to which it
// subscribed. It must not block. If the call resolves further futures it returns
// their callbacks instead of firing them, so that a long chain of futures is
// worked off in a loop and not on the stack.
type waiter interface {
	resolved(i int) *callback
}

// A callback is one subscription, a node of the circular list of a future. It
// is allocated by the waiter, many at a time or inside itself.
type callback struct {
	next, prev *callback // guarded by mu of the future while it is pending
	w          waiter
	i          int
}

// fire runs a list that publish has detached: list.prev is its tail.
func fire(list *callback) {
	if list == nil {
		return
	}
	tail := list.prev
	tail.next = nil
	for c := list; c != nil; c = c.next {
		more := c.w.resolved(c.i)
		if more != nil {
			tail.next = more
			tail = more.prev
			tail.next = nil
		}
	}
}

// subscribe adds c to f, or returns false if f is resolved already.
func (f *Future[T]) subscribe(c *callback) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.pending() {
		return false
	}
	head := f.callbacks
	if head == nil {
		c.next, c.prev = c, c
		f.callbacks = c
		return true
	}
	c.prev, c.next = head.prev, head
	head.prev.next = c
	head.prev = c
	return true
}

// unsubscribe removes c, which subscribe accepted, and returns true, unless f
// has resolved: then c's waiter has been called, or is about to be.
func (f *Future[T]) unsubscribe(c *callback) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.pending() || c.next == nil {
		return false
	}
	if c.next == c {
		f.callbacks = nil
	} else {
		c.prev.next, c.next.prev = c.next, c.prev
		if f.callbacks == c {
			f.callbacks = c.next
		}
	}
	c.next, c.prev = nil, nil
	return true
}
