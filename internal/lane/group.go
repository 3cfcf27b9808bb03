package lane

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Package async exports these errors, and documents them.
var (
	ErrClosed     = errors.New("async: pool closed")
	ErrOverloaded = errors.New("async: queue full")
	ErrSelfWait   = errors.New("async: task waits for its own lane")
)

// Options describe a [Group].
type Options struct {
	// Start calls f once, soon, on a goroutine of its choice, or returns an
	// error and never calls it. f is the loop of one worker. There are never
	// more of them than the widths of all lanes together.
	Start func(f func()) error

	Inline  bool // Start calls f in its caller: workers do not spin or set labels
	Pooled  bool // goroutines of Start are used again: labels are removed
	Endless bool // Close is never called; the group has no channel
	Lanes   []Shape
	Hooks   Hooks
}

// A Shape describes a lane.
type Shape struct {
	Width int // tasks that may run at once; at least 1
	Queue int // tasks that may be queued beyond those
}

// A Group is lanes that share an executor and are closed together. No lane
// waits for another one. A group without tasks owns no goroutine.
type Group struct {
	start  func(func()) error
	inline bool
	pooled bool
	hooks  hooks
	lanes  []Lane
	epoch  time.Time // start of the group's clock

	mu      sync.Mutex // guards what follows; a leaf
	added   []*Lane    // by Add; no longer written once closing
	closing bool       // no lane accepts tasks, or soon none will
	holds   map[*hold]struct{}

	// ctx ends with the group. It is nil in an endless one, which so has no
	// channel that could belong to a synctest bubble.
	ctx     context.Context
	cancel  context.CancelCauseFunc
	shut    sync.Once     // lanes refuse
	abort   sync.Once     // queued work is dropped
	finish  sync.Once     // everything has ended
	open    atomic.Int32  // lanes that are not drained, and holds
	drained chan struct{} // closed when all are
	done    chan struct{} // closed by finish
}

// maxSpins is how often a worker spins before it exits. A caller that spawns a
// task and waits for it, again and again, then finds the worker of its last
// task: starting a worker costs more than all the rest.
const maxSpins = 2

// New returns a group.
func New(o Options) *Group {
	g := &Group{
		start:  o.Start,
		inline: o.Inline,
		pooled: o.Pooled,
		hooks:  hooks{o.Hooks, o.Hooks.OnStart != nil || o.Hooks.OnDone != nil},
		lanes:  make([]Lane, len(o.Lanes)),
		epoch:  time.Now(),
	}
	g.open.Store(int32(len(o.Lanes)))
	for i, s := range o.Lanes {
		g.lanes[i].prepare(g, i, s)
	}
	if !o.Endless {
		g.ctx, g.cancel = context.WithCancelCause(context.Background())
		g.drained = make(chan struct{})
		g.done = make(chan struct{})
	}
	return g
}

// prepare makes a lane of zeros one of g.
func (l *Lane) prepare(g *Group, index int, s Shape) {
	l.group, l.index, l.width, l.limit = g, index, s.Width, s.Queue
	l.drainFn = l.drain
	l.spinner.slow = slowSpin
	if !g.inline {
		l.maxSpins = maxSpins
	}
}

// Lane returns the i-th lane.
func (g *Group) Lane(i int) *Lane { return &g.lanes[i] }

// Add makes one more lane, of the shape of the i-th and with the same index for
// hooks. It cannot be removed.
func (g *Group) Add(i int) *Lane {
	l := new(Lane)
	l.prepare(g, i, Shape{Width: g.lanes[i].width, Queue: g.lanes[i].limit})
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing { // a drained group does not wait for this lane
		l.closed, l.drained = true, true
		return l
	}
	g.added = append(g.added, l)
	g.open.Add(1)
	return l
}

// A hold keeps a group from having been closed.
type hold struct {
	closing func() // called when the group begins to close
}

// Hold keeps Close from returning until release, which is called once. When
// Close begins, closing is called, under no lock; it must see to it that release
// is called soon, and must not block. Hold returns false when closing has begun.
// It is for work that waits outside of the lanes.
func (g *Group) Hold(closing func()) (release func(), ok bool) {
	h := &hold{closing}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return nil, false
	}
	if g.holds == nil {
		g.holds = make(map[*hold]struct{})
	}
	g.holds[h] = struct{}{}
	g.open.Add(1)
	return func() {
		g.mu.Lock()
		delete(g.holds, h)
		g.mu.Unlock()
		g.laneDrained()
	}, true
}

// each calls do for every lane of a group that is closing.
func (g *Group) each(do func(*Lane)) {
	for i := range g.lanes {
		do(&g.lanes[i])
	}
	for _, l := range g.added {
		do(l)
	}
}

// now reads the group's clock, which never shows zero.
func (g *Group) now() time.Duration { return time.Since(g.epoch) + 1 }

// ended reports whether the group's context has ended.
func (g *Group) ended() bool { return g.ctx != nil && g.ctx.Err() != nil }

// Done returns a channel that is closed when the group has been closed and its
// last task has returned. It is nil for an endless group.
func (g *Group) Done() <-chan struct{} { return g.done }

// Close refuses new tasks with [ErrClosed], lets those finish that are queued
// or run, and returns nil: no task runs, or ever will, and no worker is left.
//
// If ctx is done earlier, queued tasks fail with ErrClosed, the contexts of
// running ones end with that cause, and Close returns the cause of ctx without
// waiting for them. A group without tasks is closed whatever ctx is.
//
// Close may be called repeatedly and concurrently. With the context of one of
// the group's own tasks it returns [ErrSelfWait] and does nothing.
func (g *Group) Close(ctx context.Context) error {
	wait, err := g.StartClose(ctx)
	if wait == nil {
		return err
	}
	return wait()
}

// StartClose begins what [Group.Close] does. If that is done at once, wait is
// nil and err is what Close returns; otherwise wait waits and returns that.
func (g *Group) StartClose(ctx context.Context) (wait func() error, err error) {
	if l := Of(ctx); l != nil && l.group == g {
		return nil, ErrSelfWait
	}
	g.shut.Do(func() {
		g.mu.Lock()
		g.closing = true
		holds := slices.Collect(maps.Keys(g.holds))
		g.mu.Unlock()
		g.each((*Lane).shut)
		for _, h := range holds {
			h.closing()
		}
	})
	select {
	case <-g.drained:
		g.finish.Do(g.finished)
		return nil, nil
	default:
		return func() error { return g.awaitClosed(ctx) }, nil
	}
}

// awaitClosed waits for the last task of a group that is closing, until ctx is
// done.
func (g *Group) awaitClosed(ctx context.Context) error {
	select {
	case <-g.drained:
		g.finish.Do(g.finished)
		return nil
	case <-ctx.Done():
	}
	g.abort.Do(func() {
		g.each((*Lane).abort)
		g.cancel(ErrClosed)
		go func() { // ends with the last running task
			<-g.drained
			g.finish.Do(g.finished)
		}()
	})
	return context.Cause(ctx)
}

// laneDrained is called once for each lane, when it has been shut and its last
// worker has exited, and once for each hold.
func (g *Group) laneDrained() {
	if g.open.Add(-1) == 0 { // not before closing: until then no lane is drained
		close(g.drained)
	}
}

// finished ends a group whose lanes are drained.
func (g *Group) finished() {
	g.cancel(ErrClosed)
	close(g.done)
}
