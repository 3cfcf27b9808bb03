package lane

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A spinner decides whether a worker yields and checks its queue again before
// it exits, and whether a waiter yields before it blocks.
//
// With an idle processor, a spin takes less than a microsecond and saves about
// as much. With all of them busy, a goroutine that yields runs after all others
// that are runnable, which may take milliseconds, while one that has just been
// started or woken runs next. So some spins are timed, and after a slow one the
// next spins are skipped: twice as many each time.
type spinner struct {
	slow  time.Duration // a spin that takes as long is slow
	count atomic.Uint32 // spins since the last one that was timed
	skip  atomic.Int32  // spins still to be skipped; races may take it below zero
	last  atomic.Int32  // value that skip was last set to
}

const (
	slowSpin  = 20 * time.Microsecond
	timedSpin = 16 // one spin of so many is timed, which costs more than the spin
	minSkip   = 1 << 8
	maxSkip   = 1 << 16
)

// allowed reports whether the next spin is not to be skipped.
func (s *spinner) allowed() bool {
	if s.skip.Load() <= 0 {
		return true
	}
	s.skip.Add(-1)
	return false
}

// spin lets other goroutines run.
func (s *spinner) spin() {
	if !s.timed() {
		runtime.Gosched()
		return
	}
	began := time.Now()
	runtime.Gosched()
	s.record(time.Since(began))
}

// timed reports whether the next spin is to be timed.
func (s *spinner) timed() bool {
	if s.count.Add(1) < timedSpin {
		return false
	}
	s.count.Store(0)
	return true
}

// record draws the conclusions from a timed spin.
func (s *spinner) record(took time.Duration) {
	if took < s.slow {
		s.last.Store(s.last.Load() / 2)
		return
	}
	skip := min(max(2*s.last.Load(), minSkip), maxSkip)
	s.last.Store(skip)
	s.count.Store(timedSpin) // the first spin after these shows whether it is over
	s.skip.Store(skip)
}
