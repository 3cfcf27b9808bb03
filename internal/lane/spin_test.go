package lane

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSlowSpinsAreFollowedBySkips: after a slow spin the next ones are skipped,
// twice as many each time, up to a bound, and fewer again after quick ones.
func TestSlowSpinsAreFollowedBySkips(t *testing.T) {
	s := spinner{slow: slowSpin}
	untimed := timedSpin - 1 // spins before the next one that is timed
	for i, step := range []struct {
		took  time.Duration
		skips int
	}{
		{0, 0},
		{slowSpin, minSkip},
		{time.Hour, 2 * minSkip},
		{slowSpin, 4 * minSkip},
		{slowSpin - 1, 0},
		{slowSpin, 4 * minSkip},
		{0, 0},
		{0, 0},
		{0, 0},
		{slowSpin, minSkip},
	} {
		for range untimed {
			if !s.allowed() || s.timed() {
				t.Fatalf("step %d: one of the spins in between is skipped or timed", i)
			}
		}
		if !s.allowed() || !s.timed() {
			t.Fatalf("step %d: the spin is skipped or not timed", i)
		}
		s.record(step.took)
		skips := 0
		for !s.allowed() {
			skips++
		}
		if skips != step.skips {
			t.Fatalf("step %d: %d spins were skipped, want %d", i, skips, step.skips)
		}
		if untimed = timedSpin - 1; step.skips > 0 {
			untimed = 0 // the first one after them is timed
		}
	}
	for range 20 {
		s.record(slowSpin)
	}
	if skip := s.skip.Load(); skip != maxSkip {
		t.Errorf("after many slow spins %d are skipped, want %d", skip, maxSkip)
	}
}

// TestNoSpinsOnBusyProcessors: a goroutine that yields while the processors are
// busy runs after all others, and notices.
func TestNoSpinsOnBusyProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var stop atomic.Bool
	var other sync.WaitGroup
	other.Go(func() { // takes the only P for longer than a spin may take
		for !stop.Load() {
			for began := time.Now(); time.Since(began) < 2*slowSpin; {
			}
			runtime.Gosched()
		}
	})
	defer other.Wait()
	defer stop.Store(true)
	s := spinner{slow: slowSpin}
	for range 1000 * timedSpin { // the first that is timed may be quick, if the other was interrupted
		if !s.allowed() {
			return
		}
		s.spin()
	}
	t.Error("no spin was skipped")
}
