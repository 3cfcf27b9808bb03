package disk

import (
	"slices"
	"sync"
	"syscall"
	"time"
)

// A gate decides, in the server, what becomes of each operation: it is held,
// delayed, failed or let through, in this order.
type gate struct {
	mu     sync.Mutex // guards all below
	faults []Fault
	delays map[Op]time.Duration
	holds  map[Op]chan struct{} // closed when the holding ends
	stats  Stats
}

func newGate() *gate {
	return &gate{delays: map[Op]time.Duration{}, holds: map[Op]chan struct{}{}}
}

// pass returns when the operation may be done, or with the errno that it fails
// with.
func (g *gate) pass(op Op, off, n int64) syscall.Errno {
	g.mu.Lock()
	if hold := g.holds[op]; hold != nil {
		g.stats.Held++
		g.mu.Unlock()
		<-hold
		g.mu.Lock()
		g.stats.Held--
	}
	delay, errno := g.delays[op], g.failure(op, off, n)
	g.count(op, n, errno)
	g.mu.Unlock()
	if delay > 0 {
		time.Sleep(delay)
	}
	return errno
}

// failure is what the first fault that is about this operation says. g.mu is
// held.
func (g *gate) failure(op Op, off, n int64) syscall.Errno {
	for i := range g.faults {
		f := &g.faults[i]
		if f.Op != op || f.Len > 0 && (off+n <= f.Off || off >= f.Off+f.Len) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		errno := f.Err
		if f.Times--; f.Times == 0 { // one that began with 0 never comes here again
			g.faults = slices.Delete(g.faults, i, i+1)
		}
		return errno
	}
	return 0
}

// count enters an operation into the statistics. g.mu is held.
func (g *gate) count(op Op, n int64, errno syscall.Errno) {
	s := &g.stats
	if errno != 0 {
		s.Failed++
		n = 0
	}
	switch op {
	case Read:
		s.Reads++
		s.BytesRead += n
	case Write:
		s.Writes++
		s.BytesWritten += n
	case Flush:
		s.Flushes++
	}
}

func (g *gate) fail(f Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f.Err == 0 {
		f.Err = syscall.EIO
	}
	g.faults = append(g.faults, f)
}

func (g *gate) heal() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = nil
}

func (g *gate) delay(op Op, d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.delays[op] = d
}

// hold begins or ends the holding of an operation.
func (g *gate) hold(op Op, on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch h := g.holds[op]; {
	case on && h == nil:
		g.holds[op] = make(chan struct{})
	case !on && h != nil:
		close(h)
		delete(g.holds, op)
	}
}

// holdFor holds an operation until it is let go, or for d.
func (g *gate) holdFor(op Op, d time.Duration) {
	g.hold(op, true)
	g.mu.Lock()
	h := g.holds[op]
	g.mu.Unlock()
	time.AfterFunc(d, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.holds[op] == h && h != nil { // and no later one
			close(h)
			delete(g.holds, op)
		}
	})
}

// open lets everything through from now on: the disk is going.
func (g *gate) open() {
	g.heal()
	for _, op := range []Op{Read, Write, Flush} {
		g.hold(op, false)
		g.delay(op, 0)
	}
}

func (g *gate) snapshot() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stats
}
