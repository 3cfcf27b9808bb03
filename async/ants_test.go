package async

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestExpiringLosesNothing: loops submitted while the ants pool is being
// released, again and again, all run, once.
func TestExpiringLosesNothing(t *testing.T) {
	e := newAntsExecutor(func() bool { return true }) // even if it is not
	const submitters, each = 4, 2000
	var ran atomic.Int64
	var loops, wg sync.WaitGroup
	loops.Add(submitters * each)
	for range submitters {
		wg.Go(func() {
			for range each {
				if err := e.Submit(func() { ran.Add(1); loops.Done() }); err != nil {
					t.Errorf("Submit: %v", err)
					loops.Done()
				}
			}
		})
	}
	quit := make(chan struct{})
	var expirer sync.WaitGroup
	expirer.Go(func() {
		for {
			select {
			case <-quit:
				return
			default:
				e.expire()
				runtime.Gosched() // nobody is preempted in wasm
			}
		}
	})
	wg.Wait()
	loops.Wait()
	close(quit)
	expirer.Wait()
	e.release()
	if got := ran.Load(); got != submitters*each {
		t.Errorf("ran %d, want %d", got, submitters*each)
	}
}
