package async

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/ants/v2"
)

// linger is how long an ants pool is kept without work. Making and releasing
// one costs 36 µs, so it cannot be done for each task that comes alone.
const linger = time.Second

// An antsExecutor is the [Executor] of a pool that was given none: an
// unlimited ants pool that exists while there is work.
//
// ants brings some traps, which its being unlimited and running only the loops
// of our lanes avoids: a full pool blocks Submit without a context, a worker
// that dies by a panic or a Goexit can lose the wake-up of a blocked Submit,
// and Submit racing Release may run a task after that. Every ants pool has a
// goroutine that reads the clock twice a second, for which there is no switch:
// so that an idle Pool owns none, the ants pool is released after a while.
//
// ants' default pool, whose goroutines exist anyway, is no way out. Its
// workers belong to whoever asked first: started inside a testing/synctest
// bubble, they keep that from ending, and they cannot be waited for.
type antsExecutor struct {
	idle func() bool               // no loop is running or on its way
	pool atomic.Pointer[ants.Pool] // nil while there is no work
	used atomic.Bool               // since the timer was last set

	mu    sync.Mutex  // serialises making and releasing; taken before a lane's
	timer *time.Timer // guarded by mu
}

func newAntsExecutor(idle func() bool) *antsExecutor { return &antsExecutor{idle: idle} }

// Submit runs f on a worker of the ants pool. It never blocks, as that is
// unlimited. A pool that expires under it has either taken f, and then runs
// it, or refuses: then there is a new one.
func (e *antsExecutor) Submit(f func()) error {
	if !e.used.Load() {
		e.used.Store(true)
	}
	for {
		pool := e.pool.Load()
		if pool == nil {
			var err error
			if pool, err = e.make(); err != nil {
				return err
			}
		}
		if err := pool.Submit(f); !errors.Is(err, ants.ErrPoolClosed) {
			return err
		}
		e.pool.CompareAndSwap(pool, nil)
	}
}

// make returns the ants pool, which it makes unless another goroutine has.
func (e *antsExecutor) make() (*ants.Pool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if pool := e.pool.Load(); pool != nil {
		return pool, nil
	}
	// Without the purger: there are never more workers than the lanes are
	// wide together, and all of them go with the pool.
	pool, err := ants.NewPool(-1, ants.WithDisablePurge(true), ants.WithPanicHandler(crash))
	if err != nil {
		return nil, err
	}
	e.timer = time.AfterFunc(linger, e.expire)
	e.pool.Store(pool)
	return pool, nil
}

// crash passes on what a loop panicked with. What tasks do is recovered
// elsewhere, so this is a mistake in a hook, or in this package.
func crash(v any) { panic(v) }

// expire is called by the timer, again and again until the pool has not been
// used since the last time: then it is released.
func (e *antsExecutor) expire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	pool := e.pool.Load()
	if pool == nil {
		return
	}
	if used := e.used.Swap(false); used || !e.idle() {
		e.timer.Reset(linger)
		return
	}
	e.pool.CompareAndSwap(pool, nil)
	pool.Release() // its goroutines end by themselves
}

// release releases the pool for good, and waits until its workers have ended.
// The caller sees to it that no loop is left and none will be submitted.
func (e *antsExecutor) release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	pool := e.pool.Swap(nil)
	if pool == nil {
		return
	}
	e.timer.Stop()
	// Its only errors are the context's and that of a second call.
	_ = pool.ReleaseContext(yielding{context.Background()})
}

// yielding is a context for [ants.Pool.ReleaseContext], which spins on closed
// channels until its goroutines have ended, and looks at ctx.Done each time: on
// a single P they get to run only if that yields (20 ms to release otherwise).
type yielding struct{ context.Context }

// Done yields the processor.
func (yielding) Done() <-chan struct{} {
	runtime.Gosched()
	return nil
}
