package core

import (
	"io/fs"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/internal/invariant"
	"github.com/fmmap-go/fmmap/internal/stripe"
)

// The lifetime protocol.
//
// A window changes its length, its address and its permissions while
// goroutines use it. What a use needs is kept in one immutable generation,
// which File.gen points to:
//
//	File.gen ──▶ generation { region, epoch, data, readOnly, closed, gate, seq }
//	                            │       │
//	                            │       └─ the short operations that are
//	                            │          running, in one counter per P
//	                            └─ a stretch of address space, with the pins
//	                               on it, in one list per P
//
// There are three parties, and each writes first and reads afterwards:
//
//	              short operation          pin                     change
//	              (View, ReadAt …)         (Pin)                   (resize, freeze, close)
//	──────────    ─────────────────────    ────────────────────    ───────────────────────────
//	guarded by    nothing                  pinList.mu              File.mu
//	1. read       g := gen                 g := gen                the queue: is it its turn?
//	2. write      g.epoch's counter + 1    lock the list           epoch.old of g, if it
//	                                                               supersedes the epoch; then
//	                                                               gen := the next generation
//	3. read       gen still g? go on;      gen still g? add the    the counters of old epochs;
//	              else counter - 1,        pin, unlock, go on;     under each list's mu, the
//	              from 1 again             else unlock, from 1     pins that block; where there
//	                                       again                   are any, set list.waiting
//	4. use        the window               the pinned bytes        go on when all counters
//	                                                               are 0 and no list blocks
//	5. write      counter - 1              under the list's mu,    outside File.mu: shorten,
//	                                       remove the pin and      protect, unmap, close; then
//	                                       clear list.waiting      gen := the next generation,
//	                                       if it was the last      and the next of the queue
//	                                       to block
//	6. read       epoch.old? wakeChanges   was it the last list    -
//	                                       to block? wakeChanges
//
// Steps 2 and 3 are why nothing is missed. If an operation counts itself
// before the change reads the counters, the change sees it. If it counts
// itself later, gen has changed by then, and the operation sees that and
// takes the count back. A list's mutex orders a pin and a change alike.
// Steps 5 and 6 are why no wake-up is lost: epoch.old is set before gen, so an
// operation that a change has counted finds it set when it ends; and a pin
// that a change has counted finds list.waiting set.
//
// Neither an operation nor a pin writes a cache line that another P writes,
// except where two Ps are given the same counter or list (see package stripe).
//
// A region is retired when growth has moved the window to another one. Its
// last pin or operation wakes the changes too, and wakeChanges unmaps it.
//
// [Pin.Slice] adds a pin of an earlier generation. It does so in the list of the
// pin that it takes a part of, under that list's mu and only while that pin is
// held: a change that the part blocks is waiting for the list already.
//
// Locks are taken in this order: File.mu, pinList.mu. Neither is held across
// a wait or a call of the caller's code.
//
// Where the parts are: enter, leave and the publishing of generations are in
// this file; Pin in pin.go and the lists of pins in pinlist.go; what a change
// waits for in wait.go; the queue of changes in change.go; what each kind of
// change publishes, waits for and does in resize.go, freeze.go and close.go.

// generation is what an operation sees: immutable once it is published.
type generation struct {
	region *region
	epoch  *epoch
	data   []byte // the window, len == cap
	seq    uint64 // one more than that of the generation before
	// readOnly forbids stores; closed forbids everything.
	readOnly, closed bool
	// gate, unless nil, is closed when operations and pins may go on: they
	// wait for that and read gen again.
	gate chan struct{}

	seen seenState // not immutable
}

// epoch counts the short operations that began on the generations of one
// epoch. A change that must wait for operations supersedes the epoch and waits
// until the old one is idle, while new operations are counted in the new one.
type epoch struct {
	running []stripe.Counter
	// old is set before the generation that supersedes the epoch is published.
	old atomic.Bool
}

func newEpoch() *epoch { return &epoch{running: stripe.Make[stripe.Counter]()} }

// idle reports whether every counter was seen at zero. For an old epoch that
// means that no operation which was let in is still running: a count above
// zero later on belongs to one that will find its generation superseded, and
// touches nothing.
func (e *epoch) idle() bool {
	for i := range e.running {
		if e.running[i].Load() != 0 {
			return false
		}
	}
	return true
}

// current returns the current generation, once its gate is open.
func (f *File) current() (*generation, error) {
	for {
		g := f.gen.Load()
		switch {
		case g.closed:
			return nil, fs.ErrClosed
		case g.gate == nil:
			return g, nil
		}
		<-g.gate
	}
}

// enter begins a short operation: until leave, the region of the generation
// that it returns stays mapped, and the file open.
func (f *File) enter() (*generation, *stripe.Counter, error) {
	return f.enterFrom(f.gen.Load())
}

// enterFrom is enter for a caller that has read g from gen, now or earlier. An
// operation is counted before the second look at gen, as the protocol demands.
func (f *File) enterFrom(g *generation) (*generation, *stripe.Counter, error) {
	for {
		switch {
		case g.closed:
			return nil, nil, fs.ErrClosed
		case g.gate != nil:
			<-g.gate
		default:
			running := stripe.Of(g.epoch.running)
			running.Add(1)
			if f.gen.Load() == g {
				return g, running, nil
			}
			f.leave(g.epoch, running)
		}
		g = f.gen.Load()
	}
}

// leave ends what enter began.
func (f *File) leave(e *epoch, running *stripe.Counter) {
	running.Add(-1)
	if invariant.Enabled {
		invariant.Check(running.Load() >= 0, "fewer than no operations are running")
	}
	if e.old.Load() {
		f.wakeChanges()
	}
}

// publishInitial publishes the first generation: a window of n bytes of r.
func (f *File) publishInitial(r *region, n int64) {
	f.length = n
	f.readOnly = f.access == ReadOnly || f.access == ReadExec
	g := &generation{region: r, data: r.window(n), readOnly: f.readOnly, epoch: newEpoch()}
	g.seen.init(nil, f.skew(), n, false, f.readsMap())
	r.epochs = append(r.epochs, g.epoch)
	f.gen.Store(g)
}

// publish publishes a generation whose window is data, of the current region,
// in a new epoch. The caller holds mu.
func (f *File) publish(data []byte) {
	f.supersede(f.newGeneration(f.gen.Load().region, data))
}

// publishSameEpoch is publish for a change that waits for no operation. The
// caller holds mu.
func (f *File) publishSameEpoch(data []byte) {
	before := f.gen.Load()
	g := f.newGeneration(before.region, data)
	g.epoch = before.epoch
	f.gen.Store(g)
}

// newGeneration returns a generation to publish, without its epoch. The caller
// holds mu.
func (f *File) newGeneration(r *region, data []byte) *generation {
	before := f.gen.Load()
	g := &generation{region: r, data: data, readOnly: f.readOnly, closed: f.closing, seq: before.seq + 1}
	g.seen.init(&before.seen, f.skew(), int64(len(data)), len(data) < len(before.data), f.readsMap())
	if f.closing {
		g.data = nil
	}
	return g
}

// supersede publishes g in a new epoch. The caller holds mu.
func (f *File) supersede(g *generation) {
	g.epoch = new(epoch) // what nothing enters has no counters
	if !g.closed {
		g.epoch = newEpoch()
	}
	g.region.epochs = append(g.region.epochs, g.epoch)
	f.gen.Load().epoch.old.Store(true) // before gen, as the protocol demands
	f.stores.recent.forget()           // the window may have moved, or lost pages
	f.gen.Store(g)
}

// switchRegion publishes a window of n bytes in another region. The caller
// holds mu.
func (f *File) switchRegion(to *region, n int64) {
	f.length = n
	f.adviseAll(to)
	f.supersede(f.newGeneration(to, to.window(n)))
}

// retire has r, which a larger region has replaced, unmapped as soon as no
// operation and no pin uses it. The caller holds mu.
func (f *File) retire(r *region) {
	r.retired.Store(true)
	f.retired = append(f.retired, r)
	f.reap()
}

// reap unmaps the retired regions that nothing uses any longer. What ran into
// them cannot be told of a failure, and the addresses are not used again: Close
// returns the first one. The caller holds mu.
func (f *File) reap() {
	kept := f.retired[:0]
	for _, r := range f.retired {
		f.steps++
		if r.idle(nil) && !r.pinned() {
			if err := r.unmap(); err != nil && f.reapErr == nil {
				f.reapErr = err
			}
			continue
		}
		kept = append(kept, r)
	}
	clear(f.retired[len(kept):])
	f.retired = kept
}

// wakeChanges is called when a use has ended that a change, or the unmapping
// of a retired region, may be waiting for.
func (f *File) wakeChanges() {
	f.mu.Lock()
	f.steps++
	f.reap()
	calls := f.advance()
	f.mu.Unlock()
	run(calls)
}
