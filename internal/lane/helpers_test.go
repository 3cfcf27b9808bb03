package lane

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

var (
	errTest = errors.New("test")
	errExit = errors.New("Goexit")
	opTest  = NewOp("test")
)

// A fake is a task that notes what its lane does with it.
type fake struct {
	Node
	work   func(ctx context.Context) error
	finish func() // if not nil, called by Finish

	mu     sync.Mutex
	wanted bool
	calls  []string
	done   chan struct{} // closed by Finish, and by cancel
}

// newFake returns a task that is to be submitted to l with ctx.
func newFake(ctx context.Context, l *Lane, work func(ctx context.Context) error) *fake {
	f := &fake{work: work, wanted: true, done: make(chan struct{})}
	f.Init(ctx, l, opTest, f)
	return f
}

func (f *fake) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

// noted returns what was noted so far.
func (f *fake) noted() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprint(f.calls)
}

func (f *fake) Claim() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	wanted := f.wanted
	f.wanted = false
	f.calls = append(f.calls, fmt.Sprintf("claim %v", wanted))
	return wanted
}

// cancel takes the task back from its lane, if that has not claimed it.
func (f *fake) cancel() bool {
	f.mu.Lock()
	wanted := f.wanted
	f.wanted = false
	f.mu.Unlock()
	if wanted {
		f.note("removed %v", f.Remove(errTest))
		close(f.done)
	}
	return wanted
}

func (f *fake) Run(ctx context.Context) error {
	f.note("run")
	return f.work(ctx)
}

func (f *fake) Finish(err error) {
	f.note("finish %v", err)
	if f.finish != nil {
		f.finish()
	}
	close(f.done)
}

// unwound is the hook of the tests.
func unwound(_ int, _ *Op, value any) error {
	if value == nil {
		return errExit
	}
	return fmt.Errorf("panic %v", value)
}

// group makes a group with lanes of the given shapes that is closed when the
// test ends.
func group(t testing.TB, o Options, shapes ...Shape) *Group {
	t.Helper()
	if o.Start == nil {
		o.Start = func(f func()) error { go f(); return nil }
	}
	if o.Hooks.Unwound == nil {
		o.Hooks.Unwound = unwound
	}
	o.Lanes = shapes
	g := New(o)
	t.Cleanup(func() {
		if err := g.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return g
}

// submit submits a task and checks that it is accepted.
func submit(t testing.TB, l *Lane, work func(ctx context.Context) error) *fake {
	t.Helper()
	f := newFake(t.Context(), l, work)
	if err := f.Submit(); err != nil {
		t.Fatalf("Submit: %v", err)
	}
	return f
}

// nothing is the work of a task that does none.
func nothing(context.Context) error { return nil }

// until is the work of a task that runs until quit is closed.
func until(quit <-chan struct{}) func(context.Context) error {
	return func(context.Context) error { <-quit; return nil }
}

// wantErr checks an error by errors.Is.
func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

// stats checks the figures of a lane, except for its shape and its times.
func stats(t testing.TB, l *Lane, want Stats) {
	t.Helper()
	got := l.Stats()
	got.Width, got.Queue, got.LongestWait = 0, 0, time.Duration(0)
	if got != want {
		t.Errorf("stats: got %+v, want %+v", got, want)
	}
}
