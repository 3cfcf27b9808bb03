package lane

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
)

// TestFates: what a lane calls of a task, by what becomes of it. In every case
// it is called in order, nothing twice, and the counts agree.
func TestFates(t *testing.T) {
	for _, x := range []struct {
		name  string
		work  func(ctx context.Context) error
		after func(f *fake, cancel context.CancelCauseFunc, g *Group) // while it is queued; nil for nothing
		calls string
		want  Stats
	}{
		{"returns", nothing, nil, "[claim true run finish <nil>]", Stats{Done: 1}},
		{"fails", func(context.Context) error { return errTest }, nil, "[claim true run finish test]", Stats{Done: 1}},
		{"panics", func(context.Context) error { panic("oops") }, nil, "[claim true run finish panic oops]", Stats{Done: 1, Panicked: 1}},
		{"calls Goexit", func(context.Context) error { runtime.Goexit(); return nil }, nil, "[claim true run finish Goexit]", Stats{Done: 1}},
		{"context ends", nothing,
			func(_ *fake, cancel context.CancelCauseFunc, _ *Group) { cancel(errTest) },
			"[claim true finish test]", Stats{Dropped: 1}},
		{"removed", nothing,
			func(f *fake, _ context.CancelCauseFunc, _ *Group) { f.cancel() },
			"[removed true]", Stats{Dropped: 1}},
		{"removed, context ends", nothing,
			func(f *fake, cancel context.CancelCauseFunc, _ *Group) { cancel(errTest); f.cancel() },
			"[removed true]", Stats{Dropped: 1}},
		{"aborted", nothing,
			func(_ *fake, cancel context.CancelCauseFunc, g *Group) {
				done, end := context.WithCancel(context.Background())
				end()
				_ = g.Close(done)
			},
			"[claim true finish async: pool closed]", Stats{Dropped: 1}},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := group(t, Options{}, Shape{1, 3})
				quit := make(chan struct{})
				busy := submit(t, g.Lane(0), until(quit))
				synctest.Wait()
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				f := newFake(ctx, g.Lane(0), x.work)
				if err := f.Submit(); err != nil {
					t.Fatal(err)
				}
				if x.after != nil {
					x.after(f, cancel, g)
				}
				close(quit)
				<-busy.done
				<-f.done
				if got := f.noted(); got != x.calls {
					t.Errorf("calls: got %v, want %v", got, x.calls)
				}
				synctest.Wait() // a worker that Goexit ended has been replaced
				x.want.Done++   // the busy one
				stats(t, g.Lane(0), x.want)
			})
		})
	}
}

// TestRefusedTasksAreNotCalled, for each reason to refuse.
func TestRefusedTasksAreNotCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := group(t, Options{}, Shape{1, 0})
		l := g.Lane(0)
		quit := make(chan struct{})
		submit(t, l, until(quit))
		done, cancel := context.WithCancelCause(t.Context())
		cancel(errTest)
		for name, try := range map[string]struct {
			ctx    context.Context
			submit func(f *fake) error
			want   error
		}{
			"Submit, full":             {t.Context(), func(f *fake) error { return f.Submit() }, ErrOverloaded},
			"Submit, context done":     {done, func(f *fake) error { return f.Submit() }, errTest},
			"SubmitWait, context done": {done, func(f *fake) error { return f.SubmitWait() }, errTest},
		} {
			f := newFake(try.ctx, l, nothing)
			wantErr(t, name, try.submit(f), try.want)
			if got := f.noted(); got != "[]" {
				t.Errorf("%s: the task was called: %v", name, got)
			}
		}
		close(quit)
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for name, submit := range map[string]func(f *fake) error{
			"Submit":     func(f *fake) error { return f.Submit() },
			"SubmitWait": func(f *fake) error { return f.SubmitWait() },
		} {
			f := newFake(t.Context(), l, nothing)
			wantErr(t, name+", closed", submit(f), ErrClosed)
			if got := f.noted(); got != "[]" {
				t.Errorf("%s: the task was called: %v", name, got)
			}
		}
	})
}

// TestRemoveLosesToAWorker: a task that its worker has taken off the queue, and
// not claimed, is skipped when its owner takes it back.
func TestRemoveLosesToAWorker(t *testing.T) {
	g := group(t, Options{}, Shape{2, 0})
	for range 2000 {
		f := submit(t, g.Lane(0), nothing)
		f.cancel()
		<-f.done
		// The worker that has taken the task off the queue claims it in vain,
		// sooner or later.
		for strings.Contains(f.noted(), "removed false") && !strings.Contains(f.noted(), "claim") {
			runtime.Gosched()
		}
		switch got := f.noted(); got {
		case "[claim true run finish <nil>]", "[removed true]", "[removed false claim false]", "[claim false removed false]":
		default:
			t.Fatalf("calls: %v", got)
		}
	}
}

// TestFinishFindsRoom: the task has ended, for its lane, when Finish is called.
func TestFinishFindsRoom(t *testing.T) {
	g := group(t, Options{}, Shape{1, 0})
	l := g.Lane(0)
	next := newFake(t.Context(), l, nothing)
	f := newFake(t.Context(), l, nothing)
	f.finish = func() { wantErr(t, "Submit in Finish", next.Submit(), nil) }
	if err := f.Submit(); err != nil {
		t.Fatal(err)
	}
	<-next.done
}
