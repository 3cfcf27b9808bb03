package core

import (
	"sync"

	"github.com/fmmap-go/fmmap/internal/invariant"
	"github.com/fmmap-go/fmmap/internal/stripe"
)

// A pinList holds the pins taken on one P, as a binary heap: no pin ends
// beyond the one at the root, pins[0]. So adding and removing a pin and asking
// whether any pin ends beyond a given byte cost at most the logarithm of the
// number of pins, and a pin that is taken and released while longer ones are
// held costs nothing extra.
type pinList struct {
	mu   sync.Mutex // guards what follows, and index of each pin
	pins []*Pin

	seq   uint64 // the newest generation that a pin was taken on
	older int    // pins held that were taken on earlier generations

	waiting *wait // of the change that pins of this list block; nil: none
	left    int   // pins that block it, when it waits for pins by their age

	steps int // entries looked at, for tests of what an operation costs

	_ [stripe.Line - 9*8]byte
}

// listRoom is the room of a list that has just been made: a cache line, since
// a smaller array could share one with the array of another P's list. A list
// with more room than maxIdleRoom drops it when its last pin is released.
const (
	listRoom    = stripe.Line / 8
	maxIdleRoom = 64 * listRoom
)

// add adds p. The caller holds mu.
func (l *pinList) add(p *Pin) {
	if p.gen.seq > l.seq {
		l.seq, l.older = p.gen.seq, len(l.pins)
	}
	if l.pins == nil {
		l.pins = make([]*Pin, 0, listRoom)
	}
	p.index = len(l.pins)
	l.pins = append(l.pins, p)
	l.up(p)
}

// addPart adds a pin of a part of one that the list holds, on the generation of
// that one. So whatever waits for the part was waiting for the list already.
// The caller holds mu.
func (l *pinList) addPart(p *Pin) {
	if p.gen.seq < l.seq {
		l.older++
	}
	if l.waiting != nil && p.gen.seq < l.waiting.seq {
		l.left++
	}
	l.add(p)
}

// remove removes p. It returns the wait that no pin of the list blocks any
// longer because of that, nil if there is none. The caller holds mu, and must
// pass the wait to done.
func (l *pinList) remove(p *Pin) (unblocked *wait) {
	if invariant.Enabled {
		invariant.Check(p.index < len(l.pins) && l.pins[p.index] == p, "a pin is not where its index says")
	}
	if p.gen.seq < l.seq {
		l.older--
	}
	last := len(l.pins) - 1
	moved := l.pins[last]
	l.pins[last] = nil
	l.pins = l.pins[:last]
	if moved != p {
		moved.index = p.index
		l.pins[p.index] = moved
		l.up(moved)
		l.down(moved)
	} else if last == 0 && cap(l.pins) > maxIdleRoom {
		l.pins = nil
	}
	w := l.waiting
	if w == nil {
		return nil
	}
	if p.gen.seq < w.seq {
		l.left--
	}
	if l.blocks(w) {
		return nil
	}
	l.waiting = nil
	return w
}

// up moves p towards the root until its parent ends no earlier.
func (l *pinList) up(p *Pin) {
	for p.index > 0 {
		l.steps++
		parent := l.pins[(p.index-1)/2]
		if parent.end() >= p.end() {
			return
		}
		l.swap(parent, p)
	}
}

// down moves p away from the root until neither child ends later.
func (l *pinList) down(p *Pin) {
	for {
		i := 2*p.index + 1
		if i >= len(l.pins) {
			return
		}
		l.steps++
		child := l.pins[i]
		if i+1 < len(l.pins) && l.pins[i+1].end() > child.end() {
			child = l.pins[i+1]
		}
		if p.end() >= child.end() {
			return
		}
		l.swap(p, child)
	}
}

// swap exchanges a parent with its child.
func (l *pinList) swap(parent, child *Pin) {
	parent.index, child.index = child.index, parent.index
	l.pins[parent.index], l.pins[child.index] = parent, child
}

// block makes w wait for the pins of the list that block it, and reports
// whether there are any. The caller has published the generation w.seq and
// nothing since, so that the list gets no further pin that blocks w.
func (l *pinList) block(w *wait) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if invariant.Enabled {
		invariant.Check(l.waiting == nil, "two changes wait for the pins of one list")
		invariant.Check(l.seq <= w.seq, "a pin of generation %d, of which %d is the newest", l.seq, w.seq)
	}
	l.steps++
	l.left = len(l.pins)
	if l.seq == w.seq {
		l.left = l.older
	}
	if !l.blocks(w) {
		return false
	}
	l.waiting = w
	return true
}

// blocks reports whether a pin of the list blocks w. The caller holds mu.
func (l *pinList) blocks(w *wait) bool {
	if w.beyond < 0 {
		if invariant.Enabled {
			invariant.Check(0 <= l.left && l.left <= len(l.pins), "%d of %d pins block", l.left, len(l.pins))
		}
		return l.left > 0
	}
	return len(l.pins) > 0 && l.pins[0].end() > w.beyond
}

// unblock makes w wait for the list no longer.
func (l *pinList) unblock(w *wait) {
	l.mu.Lock()
	if l.waiting == w {
		l.waiting = nil
	}
	l.mu.Unlock()
}

// empty reports whether the list has no pin.
func (l *pinList) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps++
	return len(l.pins) == 0
}
