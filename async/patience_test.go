package async

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Who lets others run while the processors are busy gets behind all of them: after the first look that was timed
// then, looks are left out, twice as many each time, and taken up again.
func TestNobodyLooksWhileProcessorsAreBusy(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var stop atomic.Bool
	var other sync.WaitGroup
	other.Go(func() { // whoever lets others run on the only P has to wait for this
		for !stop.Load() {
			for began := time.Now(); time.Since(began) < 2*slowLook; {
			}
			runtime.Gosched()
		}
	})
	defer other.Wait()
	defer stop.Store(true)
	var p patience
	for range timedLook {
		if !p.spare() {
			t.Fatal("it left out a look before one has been timed")
		}
		p.look()
	}
	for _, rest := range []int{firstRest, 2 * firstRest, 4 * firstRest} {
		left := 0
		for !p.spare() {
			left++
		}
		if left != rest {
			t.Fatalf("%d looks were left out, want %d", left, rest)
		}
		p.look() // the first one after the rest is timed
	}
}
