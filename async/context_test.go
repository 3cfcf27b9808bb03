package async_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/async"
)

// inTask runs fn as a task, with a context, and waits for it.
func inTask(t *testing.T, p *async.Pool, ctx context.Context, fn func(ctx context.Context)) {
	t.Helper()
	f := async.Go(ctx, p, func(ctx context.Context) (int, error) { fn(ctx); return 1, nil })
	want(t, f, 1, nil)
}

// TestTaskContextIsTheSubmitters: values and deadline.
func TestTaskContextIsTheSubmitters(t *testing.T) {
	type key struct{}
	p := open(t, async.PoolOptions{})
	deadline := time.Now().Add(time.Hour)
	ctx, cancel := context.WithDeadline(context.WithValue(t.Context(), key{}, "v"), deadline)
	defer cancel()
	for _, derive := range []bool{false, true} {
		inTask(t, p, ctx, func(ctx context.Context) {
			if derive {
				_ = ctx.Done()
			}
			if d, ok := ctx.Deadline(); !ok || !d.Equal(deadline) {
				t.Errorf("Deadline: got (%v, %v)", d, ok)
			}
			if v := ctx.Value(key{}); v != "v" {
				t.Errorf("Value: got %v, want v", v)
			}
			if ctx.Err() != nil || context.Cause(ctx) != nil {
				t.Errorf("ended: %v, %v", ctx.Err(), context.Cause(ctx))
			}
		})
	}
}

// TestTaskContextEnds with the submitter's, with the pool and with the task,
// and so do contexts made of it, whichever of its methods is asked first.
func TestTaskContextEnds(t *testing.T) {
	ends := map[string]struct {
		end   func(cancel context.CancelCauseFunc, p *async.Pool)
		cause error
	}{
		"with the submitter's": {func(cancel context.CancelCauseFunc, _ *async.Pool) { cancel(errBoom) }, errBoom},
		"with the pool": {func(_ context.CancelCauseFunc, p *async.Pool) {
			done, cancel := context.WithCancel(context.Background())
			cancel()
			_ = p.CloseContext(done)
		}, async.ErrClosed},
	}
	parents := map[string]func(context.Context) context.Context{
		"cancellable": func(ctx context.Context) context.Context { return ctx },
		"endless":     context.WithoutCancel,
	}
	looks := map[string]func(ctx context.Context){
		"nothing": func(context.Context) {},
		"Done":    func(ctx context.Context) { _ = ctx.Done() },
		"child":   func(ctx context.Context) { _, cancel := context.WithCancel(ctx); cancel() },
	}
	for name, e := range ends {
		for parent, derive := range parents {
			for look, fn := range looks {
				if name == "with the submitter's" && parent == "endless" {
					continue // it has no end
				}
				t.Run(name+", "+parent+", "+look, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						p := open(t, short(nil, 1, 0))
						ctx, cancel := context.WithCancelCause(t.Context())
						defer cancel(nil)
						gate := make(chan struct{})
						f := async.Go(derive(ctx), p, func(ctx context.Context) (int, error) {
							fn(ctx)
							<-gate
							child, cancel := context.WithTimeout(ctx, time.Hour)
							defer cancel()
							<-child.Done()
							for _, c := range []context.Context{ctx, child} {
								wantErr(t, "cause", context.Cause(c), e.cause)
								wantErr(t, "error", c.Err(), context.Canceled)
							}
							return 1, nil
						})
						synctest.Wait()
						e.end(cancel, p)
						synctest.Wait()
						close(gate)
						want(t, f, 1, nil)
					})
				})
			}
		}
	}
}

// TestTaskContextEndsWithTheTask: one that is kept is over, and holds nothing.
func TestTaskContextEndsWithTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, async.PoolOptions{})
		for name, look := range map[string]func(context.Context){
			"nothing": func(context.Context) {},
			"Done":    func(ctx context.Context) { _ = ctx.Done() },
		} {
			var kept context.Context
			called := make(chan struct{})
			inTask(t, p, t.Context(), func(ctx context.Context) { kept = ctx; look(ctx) })
			<-kept.Done()
			wantErr(t, name, kept.Err(), context.Canceled)
			wantErr(t, name, context.Cause(kept), context.Canceled)
			context.AfterFunc(kept, func() { close(called) })
			<-called
			child, cancel := context.WithCancel(kept)
			<-child.Done()
			cancel()
		}
	})
}

// TestTaskContextRaces asks for the context from many goroutines while the task
// returns.
func TestTaskContextRaces(t *testing.T) {
	p := open(t, async.PoolOptions{})
	for range 300 {
		inTask(t, p, t.Context(), func(ctx context.Context) {
			for i := range 4 {
				go func() {
					if i%2 == 0 {
						_ = ctx.Err()
					}
					<-ctx.Done()
					if !errors.Is(context.Cause(ctx), context.Canceled) {
						t.Errorf("cause: %v", context.Cause(ctx))
					}
				}()
			}
		})
	}
}
