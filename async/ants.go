package async

import (
	"context"
	"runtime"
	"sync"
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
	idle func() bool // no loop is running or on its way

	// mu guards what follows. It may be taken before a lane's, not after.
	mu    sync.Mutex
	pool  *ants.Pool // nil while there is no work
	used  bool       // since the timer was last set
	timer *time.Timer
}

func newAntsExecutor(idle func() bool) *antsExecutor { return &antsExecutor{idle: idle} }

// Submit runs f on a worker of the ants pool. An unlimited pool never blocks;
// holding mu keeps it from being released meanwhile.
func (e *antsExecutor) Submit(f func()) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pool == nil {
		// Without the purger; its workers live as long as the pool, no more
		// of them than all lanes are wide.
		pool, err := ants.NewPool(-1, ants.WithDisablePurge(true), ants.WithPanicHandler(crash))
		if err != nil {
			return err
		}
		e.pool = pool
		e.timer = time.AfterFunc(linger, e.expire)
	}
	e.used = true
	return e.pool.Submit(f)
}

// crash passes on what a loop panicked with. What tasks do is recovered
// elsewhere, so this is a mistake in a hook, or in this package.
func crash(v any) { panic(v) }

// expire is called by the timer, again and again until the pool has not been
// used since the last time: then it is released.
func (e *antsExecutor) expire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pool == nil {
		return
	}
	if e.used || !e.idle() {
		e.used = false
		e.timer.Reset(linger)
		return
	}
	e.pool.Release() // its goroutines end by themselves
	e.pool = nil
}

// release releases the pool for good, and waits until its workers have ended.
// The caller sees to it that no loop is left and none will be submitted.
func (e *antsExecutor) release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pool == nil {
		return
	}
	e.timer.Stop()
	// The only error is that of the context.
	_ = e.pool.ReleaseContext(yielding{context.Background()})
	e.pool = nil
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
