package async_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/async"
)

// TestGoWaitWaitsForRoom: in order, before later calls of Go, and no longer than
// its context.
func TestGoWaitWaitsForRoom(t *testing.T) {
	for _, b := range blockable {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { goWait(t, b.make()) })
		})
	}
}

func goWait(t *testing.T, e async.Executor) {
	p := open(t, short(e, 1, 2))
	var mu sync.Mutex
	var order []int
	task := func(i int) func(context.Context) (int, error) {
		return func(context.Context) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, i)
			return i, nil
		}
	}
	quit := make(chan struct{})
	async.Go(t.Context(), p, until(quit))
	for i := range 2 {
		pending(t, async.GoWait(t.Context(), p, task(i))) // there is room
	}
	var wg sync.WaitGroup
	for i := range 5 {
		ctx, cancel := context.WithCancelCause(t.Context())
		wg.Go(func() {
			f := async.GoWait(ctx, p, task(2+i))
			if i == 1 || i == 4 {
				want(t, f, 0, errBoom)
			} else {
				want(t, f, 2+i, nil)
			}
		})
		synctest.Wait()
		if i == 1 || i == 4 {
			time.AfterFunc(time.Second, func() { cancel(errBoom) })
		}
		defer cancel(nil)
	}
	if got := p.Stats().Short.Waiting; got != 5 {
		t.Errorf("waiting: got %d, want 5", got)
	}
	<-time.After(2 * time.Second)
	if got := p.Stats().Short.Waiting; got != 3 {
		t.Errorf("waiting after two gave up: got %d, want 3", got)
	}
	want(t, async.Go(t.Context(), p, task(9)), 0, async.ErrOverloaded) // no barging
	close(quit)
	wg.Wait()
	if want := []int{0, 1, 2, 4, 5}; !slices.Equal(order, want) {
		t.Errorf("order: got %v, want %v", order, want)
	}
	done, cancel := context.WithCancelCause(t.Context())
	cancel(errBoom)
	want(t, async.GoWait(done, p, task(0)), 0, errBoom)
}

// TestCancelMakesRoom for the callers that wait for it.
func TestCancelMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, short(nil, 1, 1))
		quit := make(chan struct{})
		async.Go(t.Context(), p, until(quit))
		queued := async.Go(t.Context(), p, value(1))
		admitted := make(chan *async.Future[int])
		go func() { admitted <- async.GoWait(t.Context(), p, value(2)) }()
		synctest.Wait()
		queued.Cancel(nil)
		f := <-admitted
		pending(t, f)
		close(quit)
		want(t, f, 2, nil)
	})
}

// TestGoWaitPushesThroughASmallQueue: many submitters, a queue of one.
func TestGoWaitPushesThroughASmallQueue(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			p := open(t, short(b.make(), 2, 1))
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for i := range 500 {
						want(t, async.GoWait(t.Context(), p, value(i)), i, nil)
					}
				})
			}
			wg.Wait()
			if s := p.Stats().Short; s.Done != 4000 || s.Waiting != 0 || s.Overloaded != 0 {
				t.Errorf("stats: %+v", s)
			}
		})
	}
}
