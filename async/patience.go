package async

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A patience decides who lets others run and then looks again, instead of
// leaving (a worker) or going to sleep (a waiter) at once. With processors to
// spare, a look takes less than a microsecond and saves about as much. With all
// of them busy, who lets others run gets behind everybody who is runnable, which
// may be milliseconds, while who has just been started or woken runs next. So
// looks are timed now and then, and after one that took long, the next ones
// are left out: twice as many each time.
type patience struct {
	looks atomic.Uint32 // since the last one that was timed
	rest  atomic.Int32  // looks to be left out; may race below zero
	last  atomic.Int32  // what rest was last raised to
}

const (
	slowLook    = 20 * time.Microsecond
	timedLook   = 16 // of so many looks, one is timed, which takes longer than the look
	firstRest   = 1 << 8
	longestRest = 1 << 16
)

// spare reports whether there is time for a look.
func (p *patience) spare() bool {
	if p.rest.Load() <= 0 {
		return true
	}
	p.rest.Add(-1)
	return false
}

// look lets others run.
func (p *patience) look() {
	if !p.timed() {
		runtime.Gosched()
		return
	}
	began := time.Now()
	runtime.Gosched()
	p.took(time.Since(began))
}

// timed reports whether this look is one of those that are timed.
func (p *patience) timed() bool {
	if p.looks.Add(1) < timedLook {
		return false
	}
	p.looks.Store(0)
	return true
}

// took draws the conclusions from a look that was timed.
func (p *patience) took(d time.Duration) {
	if d < slowLook {
		p.last.Store(p.last.Load() / 2)
		return
	}
	next := min(max(2*p.last.Load(), firstRest), longestRest)
	p.last.Store(next)
	p.looks.Store(timedLook) // the first look after the rest tells whether it is over
	p.rest.Store(next)
}
