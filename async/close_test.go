package async_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/async"
)

// TestCloseLetsWorkFinish: with time enough, everything accepted runs.
func TestCloseLetsWorkFinish(t *testing.T) {
	for _, b := range blockable {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { closeGracefully(t, b.make()) })
		})
	}
}

func closeGracefully(t *testing.T, e async.Executor) {
	p, err := async.NewPool(short(e, 2, 8))
	if err != nil {
		t.Fatal(err)
	}
	var end context.Context
	fs := submitSleepers(t, p, 10, func(ctx context.Context) { end = ctx })
	waiter := make(chan *async.Future[int])
	go func() { waiter <- async.GoWait(t.Context(), p, value(1)) }()
	synctest.Wait()
	start := time.Now()
	closed := make(chan error)
	for range 3 {
		go func() { closed <- p.Close() }()
	}
	synctest.Wait()
	// Its first step is to refuse, also the callers that wait for room.
	want(t, <-waiter, 0, async.ErrClosed)
	want(t, async.Go(t.Context(), p, value(1)), 0, async.ErrClosed)
	want(t, async.GoWait(t.Context(), p, value(1)), 0, async.ErrClosed)
	select {
	case <-p.Done():
		t.Error("Done before the work was")
	default:
	}
	for range 3 {
		if err := <-closed; err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if d := time.Since(start); d != 5*time.Second {
		t.Errorf("ten tasks of a second, two at a time, took %v", d)
	}
	<-p.Done()
	for _, f := range fs {
		want(t, f, 1, nil)
	}
	if err := p.Close(); err != nil {
		t.Errorf("Close of a closed pool: %v", err)
	}
	if end.Err() == nil {
		t.Error("the context of a task has not ended")
	}
}

// submitSleepers queues n tasks that take a second each, or until their context
// ends, and then return its cause.
func submitSleepers(t *testing.T, p *async.Pool, n int, see func(context.Context)) (fs []*async.Future[int]) {
	var mu sync.Mutex
	ctx, cancel := context.WithCancel(t.Context()) // one that has an end of its own
	t.Cleanup(cancel)
	for range n {
		fs = append(fs, async.Go(ctx, p, func(ctx context.Context) (int, error) {
			mu.Lock()
			see(ctx)
			mu.Unlock()
			select {
			case <-time.After(time.Second):
				return 1, nil
			case <-ctx.Done():
				return 0, context.Cause(ctx)
			}
		}))
	}
	return fs
}

// TestCloseEndedByContext: at the deadline queued work is dropped and running
// work sees its context end, both with ErrClosed, and Close returns at once.
// Red when Close ends the context before it has given the work its time.
func TestCloseEndedByContext(t *testing.T) {
	for _, b := range blockable {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { closeByDeadline(t, b.make()) })
		})
	}
}

func closeByDeadline(t *testing.T, e async.Executor) {
	p, err := async.NewPool(short(e, 2, 0))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	started := 0
	fs := submitSleepers(t, p, 10, func(context.Context) { started++ })
	ctx, cancel := context.WithTimeoutCause(t.Context(), 1500*time.Millisecond, errBoom)
	defer cancel()
	if err := p.CloseContext(ctx); err != errBoom {
		t.Errorf("Close: got %v, want the cause of its context", err)
	}
	<-p.Done()
	if d := time.Since(start); d != 1500*time.Millisecond {
		t.Errorf("closed after %v, want 1.5 s", d)
	}
	for i, f := range fs {
		if i < 2 {
			want(t, f, 1, nil)
		} else {
			want(t, f, 0, async.ErrClosed)
		}
	}
	if started != 4 {
		t.Errorf("%d tasks started, want 4", started)
	}
	if s := p.Stats().Short; s.Done != 4 || s.Dropped != 6 || s.Queued != 0 {
		t.Errorf("stats: %+v", s)
	}
	if err := p.Close(); err != nil {
		t.Errorf("Close, again: %v", err)
	}
}

// TestCloseDoesNotWaitForTasksThatIgnoreIt: a task that does not look at its context
// keeps the pool from being done, not Close from returning.
func TestCloseDoesNotWaitForTasksThatIgnoreIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := async.NewPool(short(nil, 1, 0))
		quit := make(chan struct{})
		f := async.Go(t.Context(), p, until(quit))
		queued := async.Go(t.Context(), p, value(1))
		synctest.Wait()
		done, cancel := context.WithCancel(t.Context())
		cancel()
		wantErr(t, "Close", p.CloseContext(done), context.Canceled)
		want(t, queued, 0, async.ErrClosed)
		synctest.Wait()
		select {
		case <-p.Done():
			t.Error("Done while a task runs")
		default:
		}
		again := make(chan error)
		go func() { again <- p.Close() }()
		synctest.Wait()
		close(quit)
		if err := <-again; err != nil {
			t.Errorf("Close that waits: %v", err)
		}
		<-p.Done()
		want(t, f, 1, nil)
	})
}

// TestCloseOfIdlePool: closing an idle pool succeeds, whatever the context.
func TestCloseOfIdlePool(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for _, b := range backends {
		for range 20 { // a select would choose at random
			p, _ := async.NewPool(async.PoolOptions{Executor: b.make()})
			if err := p.CloseContext(done); err != nil {
				t.Fatalf("%s: %v", b.name, err)
			}
			<-p.Done()
		}
	}
}

// TestNoTaskRunsAfterClose: not even one submitted at the same moment, and each
// is accounted for. Red when a lane takes work after it has reported that it is
// drained.
func TestNoTaskRunsAfterClose(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			for range 300 {
				p, _ := async.NewPool(short(b.make(), 2, 0))
				var closed atomic.Bool
				var late, ran, refused atomic.Int32
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() {
						for range 20 {
							f := async.Go(t.Context(), p, func(context.Context) (int, error) {
								if closed.Load() {
									late.Add(1)
								}
								return 1, nil
							})
							switch err := f.Wait(); {
							case err == nil:
								ran.Add(1)
							case errors.Is(err, async.ErrClosed):
								refused.Add(1)
							default:
								t.Error(err)
							}
						}
					})
				}
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
				closed.Store(true)
				wg.Wait()
				if late.Load() != 0 || ran.Load()+refused.Load() != 80 {
					t.Fatalf("%d ran after Close, %d before, %d refused", late.Load(), ran.Load(), refused.Load())
				}
			}
		})
	}
}

// TestSelfWait: a task that would wait for its own lane, or its own pool, gets
// an error.
func TestSelfWait(t *testing.T) {
	for _, b := range blockable {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { selfWait(t, b.make()) })
		})
	}
}

func selfWait(t *testing.T, e async.Executor) {
	p, other := open(t, short(e, 1, 1)), open(t, short(e, 1, 1))
	elsewhere, resolve := async.Promise[int]()
	time.AfterFunc(time.Second, func() { resolve(3, nil) })
	f := async.Go(t.Context(), p, func(ctx context.Context) (int, error) {
		inner, cancel := context.WithCancel(context.WithValue(ctx, new(int), 1))
		defer cancel()
		queued := async.Go(ctx, p, value(2))
		for name, g := range map[string]interface {
			Await(context.Context) (int, error)
		}{
			"future": queued,
			"Then":   async.Then(ctx, p, queued, func(_ context.Context, v int) (int, error) { return v, nil }),
		} {
			_, err := g.Await(inner)
			wantErr(t, name, err, async.ErrSelfWait)
			var await *async.AwaitError
			if !errors.As(err, &await) {
				t.Errorf("%s: %T, want an *AwaitError", name, err)
			}
		}
		wantErr(t, "Close", p.CloseContext(inner), async.ErrSelfWait)
		wantErr(t, "GoWait", async.GoWait(ctx, p, value(1)).Wait(), async.ErrSelfWait)
		for _, g := range async.Completed(inner, queued, elsewhere) {
			if g == queued {
				_, err := g.Await(inner)
				wantErr(t, "Completed", err, async.ErrSelfWait)
			} else {
				want(t, g, 3, nil)
			}
		}
		// What is resolved, or elsewhere, is no danger.
		if v, err := async.Ready(1).Await(inner); v != 1 || err != nil {
			t.Errorf("resolved future: (%v, %v)", v, err)
		}
		if v, err := async.Any(queued, elsewhere).Await(inner); v != 3 || err != nil {
			t.Errorf("Any that something else resolves: (%v, %v)", v, err)
		}
		return async.Go(ctx, other, value(4)).Await(inner)
	})
	want(t, f, 4, nil)
	synctest.Wait()
	if err := p.Close(); err != nil {
		t.Errorf("Close from outside: %v", err)
	}
}

// TestSelfWaitEndsWithTheTask: a context that outlives its task belongs to no
// lane any more.
func TestSelfWaitEndsWithTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, look := range []bool{false, true} {
			p := open(t, short(nil, 1, 0))
			var kept context.Context
			f := async.Go(t.Context(), p, func(ctx context.Context) (int, error) {
				if look {
					_ = ctx.Done()
				}
				kept = ctx
				return 1, nil
			})
			want(t, f, 1, nil)
			quit := make(chan struct{})
			f = async.Go(t.Context(), p, until(quit))
			synctest.Wait()
			_, err := f.Await(kept)
			if errors.Is(err, async.ErrSelfWait) || !errors.Is(err, context.Canceled) {
				t.Errorf("Await with an old task's context: got %v, want context canceled", err)
			}
			close(quit)
		}
	})
}

// TestDefault: the pool of the process is there, is one, and cannot be closed.
func TestDefault(t *testing.T) {
	p := async.Default()
	if p != async.Default() {
		t.Error("two default pools")
	}
	want(t, async.Go(t.Context(), p, value(3)), 3, nil)
	want(t, async.GoWait(t.Context(), nil, value(5)), 5, nil) // stands for it
	wantErr(t, "Close", p.Close(), errors.ErrUnsupported)
	want(t, async.Go(t.Context(), p, value(4)), 4, nil)
	if p.Done() != nil {
		t.Error("Done of a pool without an end: not nil")
	}
}

// StartClose refuses new work at once, waits for nothing, and ends as
// CloseContext does, also in a task of the pool.
func TestPoolStartClose(t *testing.T) {
	cause := errors.New("enough")
	for _, early := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p, err := async.NewPool(short(async.Goroutines(), 1, 8))
			wantErr(t, "NewPool", err, nil)
			quit := make(chan struct{})
			running := async.Go(bg, p, until(quit))
			queued := async.Go(bg, p, value(2))
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			closing, again := p.StartClose(ctx), p.StartClose(bg)
			want(t, async.Go(bg, p, value(1)), 0, async.ErrClosed)
			synctest.Wait()
			pending(t, closing)
			if early {
				cancel(cause)
				wantErr(t, "closing, its context done", closing.Wait(), cause)
				want(t, queued, 0, async.ErrClosed)
			}
			pending(t, again)
			close(quit)
			want(t, running, 1, nil)
			if !early {
				want(t, queued, 2, nil)
				wantErr(t, "closing", closing.Wait(), nil)
			}
			wantErr(t, "closing again", again.Wait(), nil)
			<-p.Done()
			cancel(cause)
			wantErr(t, "closing a closed pool", p.StartClose(ctx).Wait(), nil)
		})
	}
}

func TestPoolStartCloseInATask(t *testing.T) {
	p, err := async.NewPool(async.PoolOptions{})
	wantErr(t, "NewPool", err, nil)
	var closing *async.Future[struct{}]
	_, err = async.Go(bg, p, func(ctx context.Context) (int, error) {
		wantErr(t, "with the context of the task", p.StartClose(ctx).Wait(), async.ErrSelfWait)
		closing = p.StartClose(bg)
		return 0, nil
	}).Await(bg)
	wantErr(t, "the task", err, nil)
	wantErr(t, "closing", closing.Wait(), nil)
	wantErr(t, "the default pool", async.Default().StartClose(bg).Wait(), errors.ErrUnsupported)
}
