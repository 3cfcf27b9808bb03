package async

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// PoolOptions describe a pool to [NewPool]; the zero value is right for a
// server.
type PoolOptions struct {
	// Executor supplies the goroutines. Nil means an unlimited ants pool of
	// this Pool's own, made when there is work and released when there has
	// been none for a second, or when the Pool is closed.
	Executor Executor

	// Short, Flush, Page and Meta shape the lanes. By default Short is as
	// wide as GOMAXPROCS, Page has one worker, Flush and Meta have two, or
	// one if GOMAXPROCS is 4 or less: their work sits in system calls that
	// may keep a P each. Every queue holds 1024.
	Short, Flush, Page, Meta LaneOptions

	// Hooks observe the tasks. Setting any costs two clock readings a task.
	Hooks Hooks

	// CrashOnPanic ends the process when a task panics, after OnPanic, with
	// the task's stack, instead of resolving its future with a [*PanicError].
	CrashOnPanic bool
}

// LaneOptions shape one lane.
type LaneOptions struct {
	Width int // tasks that may run at once; 0 means the default
	Queue int // tasks that may wait beyond those; 0 means 1024
}

const defaultQueue = 1024

// A Pool runs tasks in four lanes, see [Lane], each a queue with a width of its
// own over one [Executor]. No lane waits for another. Its methods may be called
// concurrently. While a pool has nothing to do it owns no goroutine, and one
// that is no longer used may be dropped without Close.
type Pool struct {
	executor Executor
	ants     *antsExecutor // the executor, if it is the pool's own
	lanes    [lanes]lane
	hooks    *Hooks      // nil if none is set
	tags     *[ops]opTag // nil where the goroutines are the submitters' own
	lent     bool        // they live on, and are given back unlabelled
	crash    bool
	epoch    time.Time // start of the pool's clock

	// ctx ends when the pool does. It is nil in the default pool, which has
	// no end, and so has no channel that could belong to a synctest bubble.
	ctx     context.Context
	end     context.CancelCauseFunc
	shut    sync.Once     // lanes refuse
	abort   sync.Once     // queued work is dropped
	finish  sync.Once     // everything has ended
	loud    atomic.Int32  // lanes that are not quiet yet
	drained chan struct{} // closed when all are
	done    chan struct{} // closed when finish is done
}

// NewPool returns a pool. It fails if a width or a queue length is negative.
func NewPool(o PoolOptions) (*Pool, error) {
	p, err := newPool(o)
	if err != nil {
		return nil, err
	}
	p.ctx, p.end = context.WithCancelCause(context.Background())
	p.drained = make(chan struct{})
	p.done = make(chan struct{})
	return p, nil
}

var defaultPool = sync.OnceValue(func() *Pool {
	p, err := newPool(PoolOptions{})
	if err != nil {
		panic(err) // the zero options are valid
	}
	return p
})

// Default returns the pool of the process, with the default options. It is made
// when first asked for and cannot be closed.
//
// Tests in a testing/synctest bubble should rather make a pool of their own and
// close it: goroutines of the default pool stay for a second of idleness.
func Default() *Pool { return defaultPool() }

func newPool(o PoolOptions) (*Pool, error) {
	procs := runtime.GOMAXPROCS(0)
	blocking := 2
	if procs <= 4 {
		blocking = 1
	}
	p := &Pool{executor: o.Executor, crash: o.CrashOnPanic, epoch: time.Now()}
	if o.Hooks.set() {
		p.hooks = &o.Hooks
	}
	switch o.Executor.(type) {
	case inline:
	case goroutines:
		p.tags = opTags()
	case nil:
		p.tags = opTags()
		p.lent = true
		p.ants = newAntsExecutor(p.idle)
		p.executor = p.ants
	default:
		p.tags = opTags()
		p.lent = true
	}
	p.loud.Store(int32(lanes))
	for _, x := range []struct {
		name  Lane
		o     LaneOptions
		width int
	}{{LaneShort, o.Short, procs}, {LaneFlush, o.Flush, blocking}, {LanePage, o.Page, 1}, {LaneMeta, o.Meta, blocking}} {
		if x.o.Width < 0 || x.o.Queue < 0 {
			return nil, fmt.Errorf("async: lane %v: negative width or queue length", x.name)
		}
		if x.o.Width == 0 {
			x.o.Width = x.width
		}
		if x.o.Queue == 0 {
			x.o.Queue = defaultQueue
		}
		l := &p.lanes[x.name]
		l.pool, l.name, l.width, l.limit = p, x.name, x.o.Width, x.o.Queue
		l.loop = l.drain
		if p.tags != nil {
			l.looks = looks
		}
	}
	return p, nil
}

// lane returns one of the pool's lanes; a nil pool stands for the default one.
func (p *Pool) lane(l Lane) *lane {
	if p == nil {
		p = Default()
	}
	return &p.lanes[l]
}

// now reads the pool's clock, which never shows zero.
func (p *Pool) now() time.Duration { return time.Since(p.epoch) + 1 }

// ended reports whether the pool's context has.
func (p *Pool) ended() bool { return p.ctx != nil && p.ctx.Err() != nil }

// idle reports whether no lane has a worker.
func (p *Pool) idle() bool {
	for i := range p.lanes {
		if !p.lanes[i].idle() {
			return false
		}
	}
	return true
}

// Done returns a channel that is closed when the pool has been closed and its
// last task has returned. The default pool's is nil, as it is never closed.
func (p *Pool) Done() <-chan struct{} { return p.done }

// Close ends the pool. From its first step on, new work fails with [ErrClosed],
// calls of GoWait that wait for room included. Queued and running work is let
// finish, and Close returns nil: no task of the pool runs any more or ever
// will, and none of its own goroutines is left.
//
// When ctx is done before that, queued work fails with ErrClosed, running work
// sees its context end with that cause, and Close returns context.Cause(ctx)
// without waiting any longer; Done tells when the last task has returned. A
// pool that is idle closes whatever ctx says.
//
// Close may be called again, and concurrently: each call waits for the end as
// if it were the first. In a task of the pool, with that task's context, Close
// returns [ErrSelfWait] and does nothing; with another context it waits for
// the task that called it. The [Default] pool answers
// [errors.ErrUnsupported].
func (p *Pool) Close(ctx context.Context) error {
	if p.ctx == nil {
		return fmt.Errorf("async: closing the default pool: %w", errors.ErrUnsupported)
	}
	if l := laneOf(ctx); l != nil && l.pool == p {
		return ErrSelfWait
	}
	p.shut.Do(func() {
		for i := range p.lanes {
			p.lanes[i].shut()
		}
	})
	select {
	case <-p.drained:
		p.finish.Do(p.finished)
		return nil
	default:
	}
	select {
	case <-p.drained:
		p.finish.Do(p.finished)
		return nil
	case <-ctx.Done():
	}
	p.abort.Do(func() {
		for i := range p.lanes {
			p.lanes[i].abort()
		}
		p.end(ErrClosed)
		go func() { // ends with the last running task
			<-p.drained
			p.finish.Do(p.finished)
		}()
	})
	return context.Cause(ctx)
}

// laneQuiet is called once for each lane, when it has been shut and its last
// worker has left.
func (p *Pool) laneQuiet() {
	if p.loud.Add(-1) == 0 {
		close(p.drained)
	}
}

// finished ends what is left of a pool whose lanes are quiet.
func (p *Pool) finished() {
	p.end(ErrClosed)
	if p.ants != nil {
		p.ants.release()
	}
	close(p.done)
}
