package async

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// After a look that took long, the next ones are left out: twice as many each time, up to a bound, and fewer again
// after those that were short.
func TestRests(t *testing.T) {
	var p patience
	untimed := timedLook - 1 // looks before the next one that is timed
	for i, step := range []struct {
		took time.Duration
		rest int
	}{
		{0, 0},
		{slowLook, firstRest},
		{time.Hour, 2 * firstRest},
		{slowLook, 4 * firstRest},
		{slowLook - 1, 0},
		{slowLook, 4 * firstRest},
		{0, 0},
		{0, 0},
		{0, 0},
		{slowLook, firstRest},
	} {
		for range untimed {
			if !p.spare() || p.timed() {
				t.Fatalf("step %d: one of the looks in between is left out or timed", i)
			}
		}
		if !p.spare() || !p.timed() {
			t.Fatalf("step %d: the look is left out or not timed", i)
		}
		p.took(step.took)
		left := 0
		for !p.spare() {
			left++
		}
		if left != step.rest {
			t.Fatalf("step %d: %d looks were left out, want %d", i, left, step.rest)
		}
		if untimed = timedLook - 1; step.rest > 0 {
			untimed = 0 // the first one after a rest tells whether it is over
		}
	}
	for range 20 {
		p.took(slowLook)
	}
	if rest := p.rest.Load(); rest != longestRest {
		t.Errorf("after many long ones %d looks are left out, want %d", rest, longestRest)
	}
}

// Who lets others run while the processors are busy gets behind all of them, and finds that out.
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
	for range 1000 * timedLook { // the first that is timed may be short, if the other was interrupted
		if !p.spare() {
			return
		}
		p.look()
	}
	t.Error("every look was made")
}
