package core

import (
	"context"
	"io/fs"
)

// Change is a resize or a closing under way, for those who must not block: it
// waits for the pins that stand in its way without holding a goroutine.
//
//	queued ──▶ waiting ──▶ ready ──▶ finishing ──▶ done
//	   └──────────┴──Cancel──┴──▶ done
//
// A change is queued behind the earlier ones of its file, waits for
// pins and running operations, and is then ready: Finish performs it. Whoever starts
// a change must see it through with Finish, Detach or Cancel, since the later ones wait for it.
type Change struct {
	file  *File
	op    string
	ready func(*Change)
	step  step

	// guarded by file.mu
	state changeState
	wait  *wait // what stands in the way, while waiting
	auto  bool  // detached: whoever makes it ready finishes it

	isReady chan struct{} // closed when ready, or done
	isDone  chan struct{} // closed when done, after err is set
	err     error
}

type changeState uint8

const (
	queued changeState = iota
	waiting
	ready
	finishing
	done
)

// step is what a kind of change does. start, undo and sealed run under File.mu.
type step interface {
	// start publishes what new operations see from now on, and says what to wait
	// for, nil for nothing. An error ends the change before it began.
	start(f *File) (*wait, error)
	// apply performs the change, once nothing stands in the way.
	apply(f *File) error
	// undo takes back what start published.
	undo(f *File)
}

// wait is what a change waits for: every operation that began before it, and the pins that blocks names.
type wait struct {
	blocks func(*Pin) bool
	// sealed, if set, is performed at a moment when nothing at all uses the window and
	// new operations are held off, instead of letting them go on with what start published.
	sealed func(f *File) error
}

// submit queues a change. Its ready function may be called before submit returns.
func (f *File) submit(op string, s step, readyFn func(*Change)) (*Change, error) {
	c := &Change{file: f, op: op, ready: readyFn, step: s, isReady: make(chan struct{}), isDone: make(chan struct{})}
	closing, isClose := s.(*closeStep)
	f.mu.Lock()
	var err error
	switch {
	case f.closing:
		err = fs.ErrClosed
	case isClose && closing.size >= 0 && f.freezes():
		err = ErrReadOnly
	}
	if err != nil {
		f.mu.Unlock()
		return nil, f.fail(op, err)
	}
	if isClose {
		f.closing = true
		f.publish(nil) // at once, also when the change itself must queue
	}
	f.queue = append(f.queue, c)
	fire := f.advance()
	f.mu.Unlock()
	call(fire)
	return c, nil
}

// advance moves the head of the queue as far as it goes without waiting, and
// returns what must be called once mu is released. Callers hold mu.
func (f *File) advance() (fire []func()) {
	for len(f.queue) > 0 {
		c := f.queue[0]
		if c.state == queued {
			w, err := c.step.start(f)
			if err != nil {
				fire = append(fire, f.finished(c, err), c.callReady)
				continue
			}
			c.wait, c.state = w, waiting
			f.watch(w != nil)
		}
		if c.state != waiting || !f.clear(c) {
			return fire
		}
		f.watch(false)
		c.wait = nil
		if c.state == done { // performed while sealed
			fire = append(fire, f.finished(c, c.err), c.callReady)
			continue
		}
		c.state = ready
		close(c.isReady)
		fire = append(fire, c.callReady)
		if c.auto {
			fire = append(fire, func() { _ = c.Finish() })
		}
		return fire
	}
	return fire
}

// callReady tells the caller who began the change that Finish will not wait.
func (c *Change) callReady() {
	if c.ready != nil {
		c.ready(c)
	}
}

// finished ends the head of the queue. Callers hold mu; what it returns is called without.
func (f *File) finished(c *Change, err error) func() {
	if c.state < ready {
		close(c.isReady)
	}
	c.state, c.err = done, f.fail(c.op, err)
	f.queue = f.queue[1:]
	return func() { close(c.isDone) }
}

func call(fire []func()) {
	for _, fn := range fire {
		fn()
	}
}

// Finish performs the change, waiting first for what stands in its way, and
// returns its outcome; later calls return the same. On an error the
// file, its length and its mapping are as they were, unless the change was a closing.
func (c *Change) Finish() error {
	<-c.isReady
	f := c.file
	f.mu.Lock()
	if c.state != ready {
		f.mu.Unlock()
		<-c.isDone
		return c.err
	}
	c.state = finishing
	f.mu.Unlock()

	err := c.step.apply(f)

	f.mu.Lock()
	if err != nil {
		c.step.undo(f)
	}
	fire := []func(){f.finished(c, err)}
	fire = append(fire, f.advance()...)
	f.mu.Unlock()
	call(fire)
	<-c.isDone
	return c.err
}

// Cancel takes the change back and reports whether it could: then nothing has
// changed, Finish returns [context.Canceled], and ready may or may not have been called.
// A closing cannot be cancelled, nor a change that is being performed.
func (c *Change) Cancel() bool { return c.cancel(context.Canceled) }

func (c *Change) cancel(cause error) bool {
	f := c.file
	f.mu.Lock()
	if _, isClose := c.step.(*closeStep); isClose || c.state >= finishing {
		f.mu.Unlock()
		return false
	}
	began := c.state != queued
	if began {
		f.watch(false)
		c.wait = nil
		c.step.undo(f)
	}
	if c.state < ready {
		close(c.isReady)
	}
	c.state, c.err = done, f.fail(c.op, cause)
	for i, q := range f.queue {
		if q == c {
			f.queue = append(f.queue[:i:i], f.queue[i+1:]...)
			break
		}
	}
	close(c.isDone)
	var fire []func()
	if began {
		fire = f.advance()
	}
	f.mu.Unlock()
	call(fire)
	return true
}

// Detach lets the change finish by itself, in the goroutine that makes it ready:
// the one that releases the last pin, or this one.
func (c *Change) Detach() {
	f := c.file
	f.mu.Lock()
	c.auto = true
	now := c.state == ready
	f.mu.Unlock()
	if now {
		_ = c.Finish()
	}
}

// wait finishes the change, or gives up waiting for its pins when ctx is done.
func (c *Change) await(ctx context.Context) error {
	select {
	case <-c.isReady: // on a tie the change wins
	default:
		select {
		case <-c.isReady:
		case <-ctx.Done():
			if c.cancel(context.Cause(ctx)) {
				return c.err
			}
		}
	}
	return c.Finish()
}

// publish makes the generation that new operations see: the window is data, of
// the current region. Earlier operations belong to an epoch of their own, to be waited for. Callers hold mu.
func (f *File) publish(data []byte) {
	g := f.next(f.gen.Load().region, data)
	f.supersede(g)
}

// extend is publish for a change that waits for nobody: the epoch goes on. Callers hold mu.
func (f *File) extend(data []byte) {
	before := f.gen.Load()
	g := f.next(before.region, data)
	g.epoch = before.epoch
	f.gen.Store(g)
}

func (f *File) next(r *region, data []byte) *generation {
	g := &generation{region: r, data: data, readOnly: f.readOnly, closed: f.closing, seq: f.gen.Load().seq + 1}
	if f.closing {
		g.data = nil
	}
	return g
}

func (f *File) supersede(g *generation) {
	g.epoch = newEpoch()
	g.region.epochs = append(g.region.epochs, g.epoch)
	f.gen.Load().epoch.old.Store(true) // before the new one shows
	f.gen.Store(g)
}

// watch makes releases of pins call settle, or no longer. Callers hold mu.
func (f *File) watch(on bool) {
	f.gen.Load().region.watched.Store(on)
	// Superseded regions stay watched for their own sake.
}

// clear reports whether nothing stands in the way of the head of the queue any more; a
// sealed change has then been performed. Callers hold mu.
func (f *File) clear(c *Change) bool {
	if c.wait == nil {
		return true
	}
	if !f.unused(c.wait.blocks) {
		return false
	}
	if c.wait.sealed == nil {
		return true
	}
	return f.seal(c)
}

// unused reports whether every operation that began on a superseded epoch has
// ended, and every pin that blocks names has been released, in all regions. Callers hold mu.
func (f *File) unused(blocks func(*Pin) bool) bool {
	g := f.gen.Load()
	for _, r := range f.old {
		if !r.idle(nil) || r.pinned(blocks) {
			return false
		}
	}
	return g.region.idle(g.epoch) && !g.region.pinned(blocks)
}

// seal holds new operations off and looks whether the window is unused at this
// very moment. If so the change is performed. If not, they are let in
// again at once: somebody who holds a pin may need a second one before releasing the first,
// and whichever use is in the way calls settle when it ends. Callers hold mu.
func (f *File) seal(c *Change) bool {
	g := f.gen.Load()
	gate := make(chan struct{})
	defer close(gate)
	held := f.next(g.region, g.data)
	held.gate = gate
	f.supersede(held)
	f.watch(true)
	if !f.unused(c.wait.blocks) {
		f.publish(g.data)
		return false
	}
	f.reap()
	if c.err = c.wait.sealed(f); c.err != nil && f.gen.Load().gate != nil {
		c.step.undo(f)
	}
	if f.gen.Load().gate != nil { // nothing was published: let them in again
		f.publish(f.gen.Load().region.window(f.length))
	}
	c.state = done
	close(c.isReady)
	return true
}

// settle is called when something ended that somebody may be waiting for.
func (f *File) settle() {
	f.mu.Lock()
	f.reap()
	fire := f.advance()
	f.mu.Unlock()
	call(fire)
}

// reap unmaps the superseded regions that nothing uses any more. Callers hold mu.
func (f *File) reap() {
	kept := f.old[:0]
	for _, r := range f.old {
		if r.idle(nil) && !r.pinned(everyPin) {
			// The addresses are gone either way; there is nobody to tell.
			_ = r.unmap()
			continue
		}
		kept = append(kept, r)
	}
	clear(f.old[len(kept):])
	f.old = kept
}
