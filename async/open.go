package async

import (
	"context"
	"errors"
	"os"
	"sync"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/lane"
)

// Open maps a file as [core.OpenFile] does, on the Meta lane of p. With a nil p
// the [Default] pool serves this file.
//
// When ctx is done while the file is being opened, what was made until then is
// taken back as [core.OpenFileContext] does, and the future fails; once the file
// is open, the future succeeds. A file in a future that is collected before any
// caller has taken it is closed.
//
// With Wait in the options, an opening that waits for the lock holds neither a
// worker nor a goroutine, and goes on, once it has the lock, behind what the lane
// has queued by then. It ends with ctx, and with [ErrClosed] when the pool begins
// to close; [Future.Cancel] does not affect it.
func Open(ctx context.Context, p *Pool, name string, o core.Options) *Future[*File] {
	if o.Wait {
		return openWaiting(ctx, p, func(ctx context.Context, resume func(step func(error)), done func(*core.File, error)) {
			core.StartOpen(ctx, name, o, resume, done)
		})
	}
	return opening(ctx, p, func(ctx context.Context) (*core.File, error) { return core.OpenFileContext(ctx, name, o) })
}

// opening returns the future of the file that open opens on the Meta lane.
func opening(ctx context.Context, p *Pool, open func(context.Context) (*core.File, error)) *Future[*File] {
	wrapped := func(ctx context.Context) (*File, error) {
		f, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return Wrap(p, f), nil
	}
	t := newTask(ctx, p.lane(LaneMeta), opOpen, wrapped, closeUntaken)
	t.inTime = true // a file that was created is taken back by its opening alone
	t.submit()
	return &t.Future
}

// closeUntaken closes a file that no caller has taken.
func closeUntaken(f *File) { f.StartClose(context.Background()) }

// openWaiting returns the future of the file that start opens, with a wait for
// the lock in between.
func openWaiting(ctx context.Context, p *Pool,
	start func(ctx context.Context, resume func(step func(dropped error)), done func(*core.File, error)),
) *Future[*File] {
	if ctx.Err() != nil {
		return Failed[*File](context.Cause(ctx))
	}
	p = p.orDefault()
	ctx, cancel := context.WithCancelCause(ctx)
	release, ok := p.group.Hold(func() { cancel(ErrClosed) })
	if !ok {
		cancel(nil)
		return Failed[*File](ErrClosed)
	}
	out := newOwned(closeUntaken)
	done := func(f *core.File, err error) {
		defer release()
		defer cancel(nil)
		switch {
		case err == nil:
			out.resolve(Wrap(p, f), nil)
		case errors.Is(err, ErrClosed):
			out.resolve(nil, ErrClosed)
		default:
			out.resolve(nil, err)
		}
	}
	begin := func(dropped error) {
		if dropped != nil {
			done(nil, dropped)
			return
		}
		start(ctx, p.granted.resume, done)
	}
	if err := p.execute(LaneMeta, opOpen, begin); err != nil {
		begin(err)
	}
	return out
}

// A grants has the steps that are left of openings whose lock has been granted. One
// task of the lane at a time takes them, so that the lane accepts them however
// many locks are granted at once.
type grants struct {
	lane *lane.Lane

	mu    sync.Mutex
	steps []func(dropped error)
	taken bool // a task takes them
}

// resume queues a step.
func (g *grants) resume(step func(dropped error)) {
	g.mu.Lock()
	g.steps = append(g.steps, step)
	begin := !g.taken
	g.taken = true
	g.mu.Unlock()
	if begin {
		inSteps(context.Background(), g.lane, opOpen, g.step, g.end)
	}
}

// step takes one step, and reports whether none is left.
func (g *grants) step() (done bool, err error) { return g.take(nil), nil }

func (g *grants) take(dropped error) (last bool) {
	g.mu.Lock()
	step := g.steps[0]
	g.steps[0] = nil
	g.steps = g.steps[1:]
	g.mu.Unlock()
	step(dropped)
	g.mu.Lock()
	defer g.mu.Unlock()
	last = len(g.steps) == 0
	if last {
		g.steps, g.taken = nil, false
	}
	return last
}

// end takes the steps that the lane has not accepted. If the lane is full, they
// have a goroutine of their own, which ends with the last of them.
func (g *grants) end(err error) {
	switch {
	case err == nil:
	case errors.Is(err, ErrOverloaded):
		go g.takeAll(nil)
	default:
		g.takeAll(err)
	}
}

func (g *grants) takeAll(dropped error) {
	for !g.take(dropped) {
	}
}

// Map maps a file that is open already, as [core.Map] does, and otherwise as
// [Open] does. f must not be closed before the future has resolved.
func Map(ctx context.Context, p *Pool, f *os.File, o core.Options) *Future[*File] {
	if o.Wait {
		return openWaiting(ctx, p, func(ctx context.Context, resume func(step func(error)), done func(*core.File, error)) {
			core.StartMap(ctx, f, o, resume, done)
		})
	}
	return opening(ctx, p, func(ctx context.Context) (*core.File, error) { return core.MapContext(ctx, f, o) })
}

// Wrap makes a File of one that is open already, served by p, or by the
// [Default] pool if p is nil. Wrap a file once, and close it through what Wrap
// returns: that waits for the operations under way. Until then f may be used
// beside it, as [File.Core] may.
func Wrap(p *Pool, f *core.File) *File {
	const noDescriptor = ^uintptr(0)
	a := &File{pool: p.orDefault(), core: f, memoryOnly: f.Fd() == noDescriptor, succeeded: Ready(struct{}{})}
	return a
}
