// Package antspool makes an executor for package async on a goroutine pool of
// [github.com/panjf2000/ants/v2].
//
//	e := antspool.New(antspool.Options{})
//	defer e.Close()
//	pool, err := async.NewPool(async.PoolOptions{Executor: e})
//	if err != nil {
//		return err
//	}
//	defer pool.Close() // before e
//
// A pool of async asks its executor for goroutines rarely, and its loops keep
// their stacks while they work, so that this executor is no faster than
// [async.Goroutines]. It is for programs that bound their goroutines, or have
// all of them in one place.
//
// Importing this package imports ants, which starts two goroutines of its own
// that never end. Tests that look for leaked goroutines have to ignore those.
package antspool

import (
	"context"
	"fmt"
	"io/fs"
	"runtime"
	"sync"
	"time"

	"github.com/panjf2000/ants/v2"

	"github.com/fmmap-go/fmmap/async"
)

// Options describe an executor to [New]. The zero value is a pool without a
// bound.
type Options struct {
	// Workers is how many loops may run at once, 0 for any number. Further
	// ones wait in the order they came; Submit does not. While all workers are
	// in some lanes, the others wait: a bound of at least the widths of all
	// lanes together keeps lanes from waiting for one another.
	Workers int

	// IdleTime is how long a worker is kept without work; 0 means a second.
	IdleTime time.Duration
}

// ErrClosed is returned by Submit of an executor that has been closed. It is an
// [fs.ErrClosed].
var ErrClosed = fmt.Errorf("antspool: %w", fs.ErrClosed)

// An Executor is an [async.Executor]. It owns at least two goroutines, those of
// its ants pool, until it is closed. Its methods may be called concurrently.
type Executor struct {
	// pool has no bound: a Submit of a full ants pool blocks, or fails although
	// a worker is about to be free, and one that waits for a worker that ends
	// by Goexit may wait forever. So loops beyond the bound wait in pending.
	pool  *ants.Pool
	limit int // 0: none

	mu      sync.Mutex
	running int           // loops handed to pool that have not returned; guarded by mu
	pending []func()      // loops beyond limit, oldest first; guarded by mu
	closed  bool          // guarded by mu
	idle    chan struct{} // closed when closed is set and nothing runs

	release sync.Once     // of pool
	done    chan struct{} // closed when the goroutines of pool have ended
}

// New returns an executor. It panics if one of the options is negative.
func New(o Options) *Executor {
	if o.Workers < 0 || o.IdleTime < 0 {
		panic("antspool: negative option")
	}
	e := &Executor{limit: o.Workers, idle: make(chan struct{}), done: make(chan struct{})}
	opts := ants.Options{ExpiryDuration: o.IdleTime, PanicHandler: crash}
	pool, err := ants.NewPool(-1, ants.WithOptions(opts))
	if err != nil {
		panic(err) // no option of an unlimited pool can be wrong
	}
	e.pool = pool
	return e
}

var _ async.Executor = (*Executor)(nil)

// crash passes on the panic of a loop. Pools recover the panics of tasks, so it
// is that of a hook. ants would log it and go on.
func crash(v any) { panic(v) }

// Submit runs f on a worker, or fails with [ErrClosed]. It does not block.
func (e *Executor) Submit(f func()) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return ErrClosed
	case e.limit > 0 && e.running >= e.limit:
		e.pending = append(e.pending, f)
		return nil
	}
	e.running++
	if err := e.start(f); err != nil {
		e.running--
		return err
	}
	return nil
}

// start hands f, which counts as running, to the ants pool. The caller holds mu,
// which ants does not call back under: it starts or wakes a goroutine.
func (e *Executor) start(f func()) error {
	return e.pool.Submit(func() {
		defer e.next() // also when f calls runtime.Goexit
		f()
	})
}

// next is called when a loop has returned. It starts the oldest pending one.
func (e *Executor) next() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.pending) > 0 {
		f := e.pending[0]
		e.pending[0] = nil
		e.pending = e.pending[1:]
		if err := e.start(f); err != nil {
			panic(err) // an open pool without a bound refuses nothing
		}
		return
	}
	e.running--
	if e.closed && e.running == 0 {
		close(e.idle)
	}
}

// Close is [Executor.CloseContext] without an end to the wait.
func (e *Executor) Close() error { return e.CloseContext(context.Background()) }

// CloseContext refuses further loops and returns nil when those that were
// accepted have returned and the goroutines of the pool have ended. Close the
// pools that use the executor first. When ctx is done before that,
// CloseContext returns its cause, and the closing goes on. It may be called
// repeatedly and concurrently.
func (e *Executor) CloseContext(ctx context.Context) error {
	e.mu.Lock()
	if !e.closed {
		e.closed = true
		if e.running == 0 {
			close(e.idle)
		}
	}
	e.mu.Unlock()
	e.release.Do(func() {
		go func() { // ends with the last loop
			<-e.idle
			// Its only errors are the context's and that of a second call.
			_ = e.pool.ReleaseContext(yielding{context.Background()})
			close(e.done)
		}()
	})
	select {
	case <-e.done:
		return nil
	default:
	}
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-e.done:
		return nil
	default:
		return context.Cause(ctx)
	}
}

// yielding is a context for [ants.Pool.ReleaseContext], which spins on closed
// channels until its goroutines have ended, and calls Done each time: on a
// single P they run only if that yields.
type yielding struct{ context.Context }

// Done yields the processor.
func (yielding) Done() <-chan struct{} {
	runtime.Gosched()
	return nil
}
