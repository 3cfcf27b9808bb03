package async

import (
	"context"
	"iter"
	"slices"
)

// Completed returns an iterator over fs in the order in which they resolve,
// each with its index, once. It ends after the last, or when ctx is done and
// none that has resolved is left to yield; ask ctx.Err() which. Breaking out of
// the loop leaves nothing behind, and the iterator may be used again.
//
// In a task, with that task's context, the futures that occupy the task's own
// lane are not waited for: they are yielded while pending, and their Await
// answers [ErrSelfWait].
func Completed[T any](ctx context.Context, fs ...*Future[T]) iter.Seq2[int, *Future[T]] {
	fs = slices.Clone(fs)
	return func(yield func(int, *Future[T]) bool) {
		c := &completion[T]{
			gathering: newGathering(fs),
			ready:     make(chan int, len(fs)),
		}
		defer c.unsubscribe()
		c.start(laneOf(ctx))
		for range c.fs {
			i, ok := c.next(ctx)
			if !ok || !yield(i, c.fs[i]) {
				return
			}
		}
	}
}

// A completion is the waiter of one run of the iterator.
type completion[T any] struct {
	gathering[T]
	ready chan int // indices; has room for all, so that resolving never blocks
}

func (c *completion[T]) resolved(i int) *callback {
	c.ready <- i
	return nil
}

// start subscribes to what may be waited for by a task on the given lane, which
// is nil outside of tasks.
func (c *completion[T]) start(own *lane) {
	for i, f := range c.fs {
		sub := &c.subs[i]
		sub.w, sub.i = c, i
		if (own != nil && f.occupies(own)) || !f.subscribe(sub) {
			c.ready <- i
		}
	}
}

// next waits for an index, or for ctx; what is there already comes first.
func (c *completion[T]) next(ctx context.Context) (int, bool) {
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
