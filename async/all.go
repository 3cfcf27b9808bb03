package async

import (
	"errors"
	"slices"
	"sync/atomic"
)

// All returns a future of the values of all fs, in their order. The first of
// them to fail fails it at once, with the same error; the others go on. All of
// none resolves at once, with nil.
func All[T any](fs ...*Future[T]) *Future[[]T] {
	if len(fs) == 0 {
		return Ready[[]T](nil)
	}
	g := &allOf[T]{gathering: newGathering(fs), out: newPromise[[]T]()}
	g.out.task = &task{work: g}
	g.left.Store(int64(len(fs)))
	g.subscribe(g)
	if g.out.state.Load() >= held {
		g.unsubscribe() // those subscribed after it had failed
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
		list, won := g.out.settle(running, nil, err)
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
		g.out.release = g.fs.release // known only now: of an Any it depends on who was first
	}
	list, _ := g.out.settle(running, vs, nil)
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
	g.out.task = &task{work: g}
	g.left.Store(int64(len(fs)))
	g.subscribe(g)
	if g.out.state.Load() >= held {
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
		g.out.release = f.release // a resource is one as before, and nothing else is
		list := g.out.publish(v, nil)
		g.unsubscribe()
		return list
	}
	g.errs[i] = f.err
	if g.left.Add(-1) > 0 {
		return nil
	}
	var zero T
	list, _ := g.out.settle(running, zero, errors.Join(g.errs...))
	return list
}

// occupies reports whether all futures that are left need a worker of l: one
// that does not may be the first.
func (g *anyOf[T]) occupies(l *lane) bool {
	return !slices.ContainsFunc(g.fs, func(f *Future[T]) bool {
		return f.state.Load() < held && !f.occupies(l)
	})
}

// A gathering is the subscriptions of one waiter to several futures.
type gathering[T any] struct {
	fs   futures[T]
	subs []callback
}

type futures[T any] []*Future[T]

// release gives back the values of fs, which have been taken.
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

// occupies reports whether any of the futures needs a worker of l.
func (g *gathering[T]) occupies(l *lane) bool {
	return slices.ContainsFunc(g.fs, func(f *Future[T]) bool { return f.occupies(l) })
}

// run and drop are those of a task that is in no queue: it only tells what
// resolving the future needs.
func (g *gathering[T]) run()       {}
func (g *gathering[T]) drop(error) {}
