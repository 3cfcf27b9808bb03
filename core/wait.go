package core

import (
	"sync/atomic"

	"github.com/fmmap-go/fmmap/internal/invariant"
)

// A wait is what a change waits for: every operation that began on a
// superseded epoch, and the pins taken on generations before seq that end
// beyond a byte of the window.
//
// Its pins are counted once, when the wait begins. Pins taken later do not
// block it, because they are taken on the generation that the change has
// published: they end within a shrunk window, store nothing to a frozen file,
// and are refused by a closed one. So a Release finds out in its own list
// alone whether the change may go on: if it was the last of the list to block,
// it counts the list off, and the last list wakes the change.
type wait struct {
	beyond int64 // -1: wherever they end
	seq    uint64

	// exclusive, if set, performs the change at a moment when nothing at all
	// uses the window; see runExclusive.
	exclusive func(f *File) error

	lists atomic.Int64 // pin lists that block, and one while block counts them
}

// untilUnused returns the wait for every operation and every pin there is.
func untilUnused() *wait { return &wait{beyond: -1} }

// untilExclusive returns the wait for a moment without operations and pins, at
// which perform is called.
func untilExclusive(perform func(*File) error) *wait {
	return &wait{beyond: -1, exclusive: perform}
}

// block begins to wait for the pins that block w, after the generation that
// keeps further ones away has been published. The caller holds f.mu.
func (w *wait) block(f *File) {
	w.seq = f.gen.Load().seq
	w.lists.Store(1)
	f.eachPinList(func(l *pinList) {
		w.lists.Add(1) // before a Release can count the list off
		if !l.block(w) {
			w.lists.Add(-1)
		}
	})
	w.done()
}

// unblock ends the waiting for pins. The caller holds f.mu.
func (w *wait) unblock(f *File) {
	f.eachPinList(func(l *pinList) { l.unblock(w) })
}

// done counts one list off and reports whether it was the last one.
func (w *wait) done() bool {
	n := w.lists.Add(-1)
	if invariant.Enabled {
		invariant.Check(n >= 0, "%d pin lists block a change", n)
	}
	return n == 0
}

// eachPinList calls fn for the pin lists of all regions. The caller holds mu.
func (f *File) eachPinList(fn func(*pinList)) {
	f.gen.Load().region.eachPinList(fn)
	for _, r := range f.retired {
		r.eachPinList(fn)
	}
}

func (r *region) eachPinList(fn func(*pinList)) {
	for i := range r.pins {
		fn(&r.pins[i])
	}
}

// unblocked reports whether nothing stands in the way of the change at the
// head of the queue any longer; an exclusive one has then been performed. The
// caller holds mu.
func (f *File) unblocked(c *Change) bool {
	w := c.wait
	switch {
	case w == nil:
		return true
	case w.lists.Load() > 0 || !f.idle():
		return false
	case w.exclusive == nil:
		return true
	}
	return f.runExclusive(c)
}

// idle reports whether every operation that began on a superseded epoch has
// ended. The caller holds mu.
func (f *File) idle() bool {
	g := f.gen.Load()
	idle := g.region.idle(g.epoch)
	for _, r := range f.retired {
		idle = r.idle(nil) && idle
	}
	return idle
}

// runExclusive performs an exclusive change if the window is unused at this
// very moment, and reports whether it was. It publishes a generation whose
// gate holds new operations and pins off, and then looks for earlier ones.
// If there are any, it opens the gate again at once, because a goroutine that
// holds a pin may need a second one before it releases the first. Once those
// that were found have ended, they wake the change, and it looks again. The
// last use of every moment without any use is among those, or wakes such a
// look itself, so no such moment is missed for good.
//
// The caller holds mu.
func (f *File) runExclusive(c *Change) bool {
	before := f.gen.Load()
	gate := make(chan struct{})
	defer close(gate)
	g := f.newGeneration(before.region, before.data)
	g.gate = gate
	f.supersede(g)
	c.wait.block(f)
	if c.wait.lists.Load() > 0 || !f.idle() {
		f.publish(before.data)
		return false
	}
	f.reap()
	if c.err = c.wait.exclusive(f); c.err != nil && f.gen.Load().gate != nil {
		c.step.undo(f)
	}
	if f.gen.Load().gate != nil { // nothing was published: open it
		f.publish(f.gen.Load().region.window(f.length))
	}
	c.state = done
	close(c.isReady)
	return true
}

// InUse reports whether a Close that began now would wait, because there are
// pins, or operations or changes under way, or would forget that a flush has
// failed. It is for programs that close files which are not used at the moment;
// others may begin to use the file as soon as InUse has returned. Of a file that
// is closed it reports false.
func (f *File) InUse() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing {
		return f.queue.Len() > 0
	}
	if f.queue.Len() > 0 || f.flush.err() != nil || !f.idle() || !f.gen.Load().epoch.idle() {
		return true
	}
	pinned := false
	f.eachPinList(func(l *pinList) { pinned = pinned || !l.empty() })
	return pinned
}
