package async

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/internal/lane"
)

// Then runs fn with f's value on the Short lane of p, once f has resolved, and
// returns the future of what fn returns. If f fails, so does that future, with
// the same error, and fn never runs. fn never runs on the goroutine that
// resolves f, and no worker waits for f.
//
// The work enters the queue when f resolves: a lane that is full or closed by
// then fails it, a context that is done keeps fn from running. Cancel works
// from the beginning. Like Go, Then never blocks.
func Then[T, U any](ctx context.Context, p *Pool, f *Future[T], fn func(context.Context, T) (U, error)) *Future[U] {
	t := &thenFuture[T, U]{source: f, fn: fn}
	t.node = &t.Node
	t.Init(ctx, p.lane(LaneShort), opThen, t)
	t.callback.w = t
	if !f.subscribe(&t.callback) {
		fire(t.resolved(0))
	}
	return &t.Future
}

// A thenFuture is the future of Then, with its task and its subscription, in
// one allocation.
type thenFuture[T, U any] struct {
	taskFuture[U]
	callback callback
	source   *Future[T]
	fn       func(context.Context, T) (U, error)
}

// resolved queues the task, unless the source has failed.
func (t *thenFuture[T, U]) resolved(int) *callback {
	if t.state.Load() != queued { // cancelled: it needs no place in the queue
		t.forget()
		return nil
	}
	err := t.source.err
	if err == nil {
		err = t.Submit()
	}
	if err == nil {
		return nil
	}
	t.forget()
	var zero U
	list, _ := t.complete(queued, zero, err)
	return list
}

// Claim implements [lane.Task].
func (t *thenFuture[T, U]) Claim() bool {
	ok := t.taskFuture.Claim()
	if !ok {
		t.forget()
	}
	return ok
}

// Run implements [lane.Task]. It takes the value only now, on a worker: until
// then it is the source's.
func (t *thenFuture[T, U]) Run(ctx context.Context) error {
	v, _ := t.source.take()
	fn := t.fn
	t.forget() // a chain does not keep its beginning alive
	return t.keep(fn(ctx, v))
}

// Finish implements [lane.Task].
func (t *thenFuture[T, U]) Finish(err error) {
	t.forget()
	t.taskFuture.Finish(err)
}

// cancelled implements cancellable. It leaves nothing behind in a source that is
// still pending. If the source has resolved, the task is on its way to the lane,
// and forgets it by itself.
func (t *thenFuture[T, U]) cancelled(unlinked bool) {
	t.mu.Lock()
	source := t.source
	t.mu.Unlock()
	if unlinked || source != nil && source.unsubscribe(&t.callback) {
		t.forget()
	}
}

// forget drops what was only needed to run. Only one goroutine at a time has the
// task, and the mutex is for a Cancel that looks in between.
func (t *thenFuture[T, U]) forget() {
	t.mu.Lock()
	t.source, t.fn = nil, nil
	t.mu.Unlock()
}

// All returns a future of the values of all fs, in their order. The first of
// them to fail fails it at once, with the same error; the others go on. All of
// none resolves at once, with nil.
func All[T any](fs ...*Future[T]) *Future[[]T] {
	if len(fs) == 0 {
		return Ready[[]T](nil)
	}
	g := &allOf[T]{gathering: newGathering(fs), out: newPromise[[]T]()}
	g.left.Store(int64(len(fs)))
	g.subscribe(g)
	if !g.out.pending() {
		g.unsubscribe() // from those subscribed to after one had failed
	}
	return g.out
}

type allOf[T any] struct {
	gathering[T]
	left atomic.Int64 // futures that have not succeeded yet
	out  *Future[[]T]
}

func (g *allOf[T]) resolved(i int) *callback {
	if err := g.fs[i].err; err != nil {
		list, won := g.out.complete(running, nil, err)
		if won {
			g.unsubscribe()
		}
		return list
	}
	if g.left.Add(-1) > 0 {
		return nil
	}
	vs := make([]T, len(g.fs))
	for i, f := range g.fs {
		vs[i], _ = f.take()
	}
	if slices.ContainsFunc(g.fs, func(f *Future[T]) bool { return f.release != nil }) {
		g.out.release = g.fs.release // not known earlier: an Any gets it from its first
	}
	list, _ := g.out.complete(running, vs, nil)
	return list
}

// Any returns a future of the first value that one of fs succeeds with; the
// others go on. If all fail it fails with their errors, joined in the order of
// fs. Any of none fails at once.
func Any[T any](fs ...*Future[T]) *Future[T] {
	if len(fs) == 0 {
		return Failed[T](errNone)
	}
	g := &anyOf[T]{gathering: newGathering(fs), errs: make([]error, len(fs)), out: newPromise[T]()}
	g.left.Store(int64(len(fs)))
	g.subscribe(g)
	if !g.out.pending() {
		g.unsubscribe()
	}
	return g.out
}

type anyOf[T any] struct {
	gathering[T]
	left atomic.Int64 // futures that have not failed yet
	errs []error      // each written by the callback of its index
	out  *Future[T]
}

func (g *anyOf[T]) resolved(i int) *callback {
	f := g.fs[i]
	if f.err == nil {
		if !g.out.state.CompareAndSwap(running, claimed) {
			return nil // another was first; f keeps its value
		}
		v, _ := f.take()
		g.out.release = f.release // a resource stays one
		list := g.out.publish(v, nil)
		g.unsubscribe()
		return list
	}
	g.errs[i] = f.err
	if g.left.Add(-1) > 0 {
		return nil
	}
	var zero T
	list, _ := g.out.complete(running, zero, errors.Join(g.errs...))
	return list
}

// Completed returns an iterator over fs in the order in which they resolve,
// each with its index, once. It ends after the last, or when ctx is done and
// none that has resolved is left to yield; ctx.Err() distinguishes the two.
// Breaking out of the loop leaves nothing behind, and the iterator may be used
// again.
//
// Each run of the loop begins with all fs. To go on with those that are left,
// use [Completions].
//
// In a task, with that task's context, futures of the task's own lane are not
// waited for: they are yielded while pending, and their Await returns
// [ErrSelfWait].
func Completed[T any](ctx context.Context, fs ...*Future[T]) iter.Seq2[int, *Future[T]] {
	fs = slices.Clone(fs)
	return func(yield func(int, *Future[T]) bool) {
		c := NewCompletions(fs...)
		defer c.Stop()
		for {
			i, f, ok := c.Next(ctx)
			if !ok || !yield(i, f) {
				return
			}
		}
	}
}

// Completions returns futures in the order in which they resolve, each with its
// index, once. It is [Completed] for a caller that takes one now and the next
// later: it subscribes to each future once, however often the caller comes back.
// It comes from [NewCompletions] and is for one goroutine at a time.
type Completions[T any] struct {
	gathering[T]
	ready   chan int // indices; has room for all, so that resolving never blocks
	left    int      // futures that Next has not returned
	started bool     // it has subscribed
	own     *lane.Lane
}

// NewCompletions returns Completions of fs. A caller that does not take all of
// them calls [Completions.Stop].
func NewCompletions[T any](fs ...*Future[T]) *Completions[T] {
	return &Completions[T]{gathering: newGathering(fs), ready: make(chan int, len(fs)), left: len(fs)}
}

// Len returns how many futures Next has yet to return.
func (c *Completions[T]) Len() int { return c.left }

// Next waits for the next future to resolve and returns it with its index. It
// reports false if there is none left, or if ctx is done and none has resolved;
// in the second case a later call goes on. In a task, with that task's context,
// pending futures of the task's own lane are returned at once, as by [Completed].
func (c *Completions[T]) Next(ctx context.Context) (i int, f *Future[T], ok bool) {
	if c.left == 0 {
		return 0, nil, false
	}
	c.start(lane.Of(ctx))
	if i, ok = c.next(ctx); !ok {
		return 0, nil, false
	}
	c.left--
	return i, c.fs[i], true
}

// Stop ends the Completions: Next returns none from now on, and nothing is left
// behind in the futures that are pending.
func (c *Completions[T]) Stop() {
	if c.started && c.left > 0 {
		c.unsubscribe()
	}
	c.left = 0
}

func (c *Completions[T]) resolved(i int) *callback {
	c.ready <- i
	return nil
}

// start subscribes to the futures that a task on the given lane may wait for, in
// the first call, and in later ones of a task on another lane ends the waits that
// this one must not make. The lane is nil outside of tasks.
func (c *Completions[T]) start(own *lane.Lane) {
	if c.started && (own == nil || own == c.own) {
		return
	}
	for i, f := range c.fs {
		sub := &c.subs[i]
		if c.started {
			if f.occupies(own) && f.unsubscribe(sub) {
				c.ready <- i
			}
			continue
		}
		sub.w, sub.i = c, i
		if f.occupies(own) || !f.subscribe(sub) {
			c.ready <- i
		}
	}
	c.started, c.own = true, own
}

// next waits for an index, or for ctx; an index that is there comes first.
func (c *Completions[T]) next(ctx context.Context) (int, bool) {
	select {
	case i := <-c.ready:
		return i, true
	default:
	}
	select {
	case i := <-c.ready:
		return i, true
	case <-ctx.Done():
	}
	select {
	case i := <-c.ready:
		return i, true
	default:
		return 0, false
	}
}

// A gathering is the subscriptions of one waiter to several futures.
type gathering[T any] struct {
	fs   futures[T]
	subs []callback
}

type futures[T any] []*Future[T]

// release releases the values of fs, which have been taken.
func (fs futures[T]) release(vs []T) {
	for i, f := range fs {
		if f.release != nil {
			f.release(vs[i])
		}
	}
}

func newGathering[T any](fs []*Future[T]) gathering[T] {
	return gathering[T]{fs: slices.Clone(fs), subs: make([]callback, len(fs))}
}

// subscribe makes w the waiter of all futures. For those that are resolved
// already it is called at once.
func (g *gathering[T]) subscribe(w waiter) {
	for i, f := range g.fs {
		c := &g.subs[i]
		c.w, c.i = w, i
		if !f.subscribe(c) {
			fire(w.resolved(i))
		}
	}
}

// unsubscribe leaves nothing behind in the futures that are pending.
func (g *gathering[T]) unsubscribe() {
	for i, f := range g.fs {
		f.unsubscribe(&g.subs[i])
	}
}
