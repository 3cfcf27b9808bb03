package async

import (
	"context"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/stripe"
)

// A File is a mapped file whose operations answer with futures: no method waits
// for a device, a lock or another user of the file. It is safe for concurrent
// use. Files come from [Open] and [Wrap].
//
// The work is done on the lanes of the file's [Pool]: paging in on Page,
// flushing on Flush, opening, resizing, copying, removing and closing on Meta,
// large copies on Short. What waits for a lock, for pins or for a batch of
// flushes holds no worker, so that a pool of one worker a lane serves any
// number of them.
//
// The context given to an operation governs it. If it is done before the work
// has started, the work never runs and the future fails with the context's
// cause; work that runs goes on, and the future has its outcome. Errors of the
// file are *[fs.PathError]s as those of [core.File] are; [ErrOverloaded] and
// [ErrClosed] of the pool come as they are.
type File struct {
	pool *Pool
	core *core.File
	only bool              // memory without a file: nothing to lock or to flush
	done *Future[struct{}] // resolved: the answer to all that is done already

	hints     hints
	unprobed  atomic.Bool // the system does not tell what is resident
	hits      hits
	committer *flush.Committer
	dirty     atomic.Pointer[Background] // whom writes tell of; nil

	shut atomic.Bool // closing has begun; set under mu

	mu    sync.Mutex // a leaf; guards what follows
	busy  int        // operations that hold the file open
	idle  func()     // called when closing has begun and busy is 0
	locks map[*Held]struct{}
}

// Open maps a file as [core.OpenFile] does, on the Meta lane of p. With a nil p
// the [Default] pool serves this file.
//
// A file that arrives when ctx is done is closed again, and so is one in a
// future that everybody has dropped.
func Open(ctx context.Context, p *Pool, name string, o core.Options) *Future[*File] {
	if p == nil {
		p = Default()
	}
	open := func(context.Context) (*File, error) {
		f, err := core.OpenFile(name, o)
		if err != nil {
			return nil, err
		}
		return Wrap(p, f), nil
	}
	return submitOwned(ctx, p.lane(LaneMeta), opOpen, open, func(f *File) { f.Close(context.Background()) })
}

// Wrap makes a File of one that is open already, served by p, or by the
// [Default] pool if p is nil. Wrap a file once, and close it through what Wrap
// returns: that waits for the operations under way. Until then f may be used
// beside it, as [File.Core] may.
func Wrap(p *Pool, f *core.File) *File {
	if p == nil {
		p = Default()
	}
	a := &File{pool: p, core: f, only: f.NewLock() == nil, done: Ready(struct{}{})}
	a.hints.start()
	a.hits.hints = stripe.Make[stripe.Counter]()
	a.committer = flush.NewCommitter(&target{f}, flush.Options{Execute: a.execute})
	return a
}

// Core is the file below, for everything that needs no future: views, pins,
// cursors, typed values. Its methods block as their documentation says.
func (f *File) Core() *core.File { return f.core }

// enter lets an operation in that works on a lane: closing waits until it has
// left. It reports false when closing has begun.
func (f *File) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shut.Load() {
		return false
	}
	f.busy++
	return true
}

// again is enter for a part of an operation that has entered.
func (f *File) again() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy++
}

// leave ends what enter began.
func (f *File) leave() {
	f.mu.Lock()
	f.busy--
	var idle func()
	if f.busy == 0 {
		idle, f.idle = f.idle, nil
	}
	f.mu.Unlock()
	if idle != nil {
		idle()
	}
}

// fail gives an error of this package or of flush the operation and the name,
// as those of core have them.
func (f *File) fail(op string, err error) error {
	if _, ok := err.(*fs.PathError); ok || err == nil {
		return err
	}
	return &fs.PathError{Op: op, Path: f.core.Name(), Err: err}
}

// closed is the outcome of an operation that came after Close.
func closed[T any](f *File, op string) *Future[T] {
	return Failed[T](f.fail(op, fs.ErrClosed))
}

// outcome returns a future that is resolved with both: a short read has a value
// beside its error.
func outcome[T any](v T, err error) *Future[T] {
	f := &Future[T]{val: v, err: err}
	f.state.Store(resolved)
	return f
}

// An errand is what an operation on a lane holds from its beginning until its
// future has resolved, however that comes about: the file, and perhaps a pin.
type errand struct {
	callback
	file *File
	pin  *core.Pin                // nil if there is none
	gave interface{ Err() error } // its success passes the pin on; nil if nothing does
}

// resolved implements waiter.
func (e *errand) resolved(int) *callback {
	if e.pin != nil && (e.gave == nil || e.gave.Err() != nil) {
		e.pin.Release()
	}
	e.file.leave()
	return nil
}

// dispatch queues fn in l for an operation that has entered f, and leaves f when
// that is over. A pin, unless it is nil, is released by then: by dispatch, or
// when the future fails, if release says that its value is the pin.
func dispatch[T any](ctx context.Context, f *File, l Lane, o op, pin *core.Pin,
	fn func(context.Context) (T, error), release func(T)) *Future[T] {
	t := newTask(ctx, f.pool.lane(l), o, fn, release)
	e := &errand{file: f, pin: pin}
	e.w = e
	if release != nil {
		e.gave = &t.Future
	}
	t.subscribe(&e.callback) // nobody else knows it yet, so it is pending
	if err := t.lane.submit(&t.task); err != nil {
		t.refuse(err)
	}
	return &t.Future
}

// meta runs fn, which holds the file open, on the Meta lane.
func (f *File) meta(ctx context.Context, o op, fn func() error) *Future[struct{}] {
	if !f.enter() {
		return closed[struct{}](f, o.String())
	}
	return dispatch(ctx, f, LaneMeta, o, nil, func(context.Context) (struct{}, error) { return struct{}{}, fn() }, nil)
}

// Remove unlinks the file's name, as [core.File.Remove] does. The file stays
// open.
func (f *File) Remove(ctx context.Context) *Future[struct{}] {
	return f.meta(ctx, opRemove, f.core.Remove)
}
