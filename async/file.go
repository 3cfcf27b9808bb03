package async

import (
	"context"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/bounds"
	"github.com/fmmap-go/fmmap/internal/lane"
	"github.com/fmmap-go/fmmap/internal/medium"
)

// A File is a mapped file whose operations return futures: except the closers,
// no method waits for a device, a lock or another user of the file. It is safe
// for concurrent use. Files come from [Open], [Map] and [Wrap].
//
// The work is done on the lanes of the file's [Pool]: paging in on Page,
// flushing on Flush, opening, resizing, copying, removing and closing on Meta,
// large reads and writes on Short. What waits for a lock, for pins or for a
// batch of flushes holds no worker, so that a pool with one worker per lane
// serves any number of them.
//
// The context given to an operation governs it. If it is done before the work
// has started, the work never runs and the future fails with the context's
// cause; work that runs goes on, and the future has its outcome. Errors of the
// file are *[fs.PathError]s as those of [core.File] are; [ErrOverloaded] and
// [ErrClosed] of the pool are returned as they are.
type File struct {
	pool       *Pool
	core       *core.File
	memoryOnly bool              // memory without a file: nothing to lock or to flush
	succeeded  *Future[struct{}] // an already successful future

	medium     atomic.Pointer[medium.Medium] // see mediumOf
	around     atomic.Pointer[around]        // nil before the first read around a request
	skips      atomic.Int32                  // probes that are to look at no block, see probeAround
	counters   counters
	committer  atomic.Pointer[flush.Committer] // nil before the first use, see flushes
	batches    batchFutures
	background atomic.Pointer[Background] // the running one, or nil

	closing atomic.Bool // closing has begun; set under mu

	mu     sync.Mutex // a leaf; guards what follows
	refs   int        // operations that keep the file open
	onIdle func()     // called when closing has begun and refs is 0
	locks  map[*FileLock]struct{}
}

// String describes the file as [core.File.String] does.
func (f *File) String() string { return f.core.String() }

// Core returns the file below, for everything that needs no future: views, pins,
// cursors, typed values. Its methods block as their documentation says.
func (f *File) Core() *core.File { return f.core }

// Remove unlinks the file's name, as [core.File.Remove] does. The file stays
// open.
func (f *File) Remove(ctx context.Context) *Future[struct{}] {
	if !f.ref() {
		return failClosed[struct{}](f, opRemove.String())
	}
	remove := func(context.Context) (struct{}, error) { return struct{}{}, f.core.Remove() }
	return dispatch(ctx, f, LaneMeta, opRemove, remove)
}

// ref keeps the file open until unref. It reports false when closing has begun.
func (f *File) ref() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing.Load() {
		return false
	}
	f.refs++
	return true
}

// unref undoes ref.
func (f *File) unref() {
	f.mu.Lock()
	f.refs--
	var onIdle func()
	if f.refs == 0 {
		onIdle, f.onIdle = f.onIdle, nil
	}
	f.mu.Unlock()
	if onIdle != nil {
		onIdle()
	}
}

// pin pins bytes of a file that is not closing.
func (f *File) pin(off, n int64) (*core.Pin, error) {
	if f.closing.Load() {
		return nil, f.pathError("pin", fs.ErrClosed)
	}
	return f.core.Pin(off, n)
}

// checkRange returns the error that pin would return, for the operation op.
func (f *File) checkRange(op string, off, n int64) error {
	if size := f.core.Len(); size > 0 && bounds.Within(off, n, size) && !f.closing.Load() {
		return nil
	}
	pin, err := f.pin(off, n) // which tells a closed file from an empty one
	if err == nil {
		pin.Release()
		return nil
	}
	if pe, ok := err.(*fs.PathError); ok {
		err = pe.Err
	}
	return f.pathError(op, err)
}

// pathError adds the operation and the name to an error of this package or of
// flush. The errors of core have both already.
func (f *File) pathError(op string, err error) error {
	if _, ok := err.(*fs.PathError); ok || err == nil {
		return err
	}
	return &fs.PathError{Op: op, Path: f.core.Name(), Err: err}
}

// failClosed returns the outcome of an operation that came after Close.
func failClosed[T any](f *File, op string) *Future[T] {
	return Failed[T](f.pathError(op, fs.ErrClosed))
}

// outcome returns a future that is resolved with both: a short read has a value
// beside its error.
func outcome[T any](v T, err error) *Future[T] {
	f := &Future[T]{val: v, err: err}
	f.state.Store(resolved)
	return f
}

// A fileOp is what an operation on a lane holds until its future has resolved,
// for whatever reason: a reference to the file, and perhaps a request and a pin.
type fileOp struct {
	callback
	file    *File
	request *request                 // for pages; nil if there is none
	pin     *core.Pin                // nil if there is none
	result  interface{ Err() error } // whose success passes the pin on; nil if it stays here
}

// resolved implements waiter.
func (o *fileOp) resolved(int) *callback {
	if o.pin != nil && (o.result == nil || o.result.Err() != nil) {
		o.pin.Release()
	}
	if o.request != nil {
		o.request.over()
	}
	o.file.unref()
	return nil
}

// dispatch queues fn in l for an operation that holds a reference to f, and
// drops that when the future has resolved.
func dispatch[T any](ctx context.Context, f *File, l Lane, o op,
	fn func(context.Context) (T, error)) *Future[T] {
	return dispatchOp(ctx, f.pool.lane(l), o, &fileOp{file: f}, fn, nil)
}

// dispatchOp is dispatch of an operation that holds what p names. The pin is
// released when the future has resolved, or, if release is not nil and so the
// pin its value, when the future has failed.
func dispatchOp[T any](ctx context.Context, l *lane.Lane, o op, p *fileOp,
	fn func(context.Context) (T, error), release func(T)) *Future[T] {
	t := newTask(ctx, l, o, fn, release)
	p.w = p
	if release != nil {
		p.result = &t.Future
	}
	t.subscribe(&p.callback) // no other goroutine knows the future, so it is pending
	t.submit()
	return &t.Future
}

// inSteps calls step on workers of l until it is done, or fails, or ctx is done,
// and then end with the outcome. Each step is a task that is queued behind what
// was queued meanwhile, so that long work does not stand before short work. If
// the lane is full by then, the worker goes on with the next step.
//
// Neither function may panic, or wait for anything but the disk. end is called in
// place of a step that the lane does not accept, or drops.
func inSteps(ctx context.Context, l *lane.Lane, o op, step func() (done bool, err error), end func(error)) {
	var run func(error)
	run = func(err error) {
		for err == nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
				break
			}
			done, failed := step()
			if done || failed != nil {
				end(failed)
				return
			}
			if err = executeIn(l, o, run); err == nil {
				return
			}
			if err == ErrOverloaded {
				err = nil
			}
		}
		end(err)
	}
	if err := executeIn(l, o, run); err != nil {
		run(err)
	}
}

// onResolved calls fn once f has resolved. fn must not block.
func onResolved[T any](f *Future[T], fn func()) {
	h := &resolvedHook{fn: fn}
	h.w = h
	if !f.subscribe(&h.callback) {
		fn()
	}
}

// A resolvedHook is a subscription of onResolved.
type resolvedHook struct {
	callback
	fn func()
}

// resolved implements waiter.
func (h *resolvedHook) resolved(int) *callback {
	h.fn()
	return nil
}

// failWhenDone has out fail with the cause of ctx if ctx is done before out is
// resolved.
func failWhenDone(ctx context.Context, out *Future[struct{}]) {
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { out.resolve(struct{}{}, context.Cause(ctx)) })
		onResolved(out, func() { stop() })
	}
}
