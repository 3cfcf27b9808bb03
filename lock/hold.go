package lock

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// The system knows one holder an open file, so what it is told for a byte is the strongest mode that the
// holders of that file want there.

// A piece is a stretch of bytes with one mode; zero is none.
type piece struct {
	lo, hi int64
	mode   Mode
}

// system is the mode in the words of package sys, which count alike.
func (m Mode) system() sys.LockMode { return sys.LockMode(m) }

// The numbers of the modes are the same in both packages, or this does not compile.
var _ = [1]struct{}{}[uint8(Shared)-uint8(sys.LockShared)+uint8(Exclusive)-uint8(sys.LockExclusive)]

// hold makes l a holder of m, or converts it.
func (e *entry) hold(l *Lock, m Mode) {
	if l.mode == 0 {
		l.slot = len(e.holders)
		e.holders = append(e.holders, l)
		l.lost.Store(false)
		l.turn = e.turn
	} else {
		e.count(l, -1)
		if m < l.mode {
			e.free(l)
		}
	}
	l.mode = m
	e.count(l, +1)
}

// drop ends the hold of l, as far as this process goes.
func (e *entry) drop(l *Lock) {
	e.count(l, -1)
	l.mode = 0
	last := len(e.holders) - 1
	moved := e.holders[last]
	e.holders[l.slot], moved.slot = moved, l.slot
	e.holders[last] = nil
	e.holders = e.holders[:last]
	e.free(l)
}

func (e *entry) count(l *Lock, n int) {
	if l.mode == Exclusive {
		e.exclusive += n
		l.h.exclusive += n
	} else {
		l.h.shared += n
	}
}

// take makes r.l a holder of r.mode if the system agrees. sys.ErrWouldBlock is returned as it is when
// another process does not, and all is as before.
func (e *entry) take(r request) error {
	h := r.l.h
	var err error
	if e.key.ranged {
		err = e.raise(h, r)
	} else {
		err = h.fl.Set(max(r.mode, h.strongest(r.l)).system())
	}
	if err == nil {
		e.hold(r.l, r.mode)
		return nil
	}
	return e.blame(h, r.l, err)
}

// release ends the hold of l and hands it on.
func (e *entry) release(l *Lock) error {
	m, h := l.mode, l.h
	l.pending++ // keeps l attached for as long as this lasts
	defer func() { l.pending-- }()
	e.drop(l)
	heir := e.heir(l)
	yield := heir != nil && e.overdue(l)
	// The heir may be of the same open file, and then the system need not know: it would give others the
	// moment between. That is not so for a range, of which somebody may want a part.
	handOn := heir != nil && heir.l.h == h && !e.key.ranged && !yield
	if handOn {
		e.advance()
	}
	err := e.settle(h, l)
	if handOn {
		e.free(l)
	}
	switch {
	case err == nil, errors.Is(err, fs.ErrClosed), errors.Is(err, ErrLost):
		if yield {
			heir.yield()
		}
	default:
		e.hold(l, m) // nothing was given back, so nobody else was given any of it
	}
	return err
}

// heir is the first waiter who can go now that l holds no more; nil when others stand in the way.
func (e *entry) heir(l *Lock) *waiter {
	for w := e.first; w != nil; w = w.next {
		if w.l.overlaps(l) && !e.blocked(w.request) && !e.behind(w.request, w) {
			return w
		}
		if !e.key.ranged {
			return nil
		}
	}
	return nil
}

// overdue says whether it is time to let other processes have a chance at what l gives back, rather than to hand it on.
func (e *entry) overdue(l *Lock) bool {
	now := time.Now()
	if l.turn.IsZero() {
		l.turn = now
	}
	if now.Sub(l.turn) < longestTurn {
		e.turn = l.turn // for whoever gets it now
		return false
	}
	keepsAll := func(h *Lock) bool { return h.mode == Exclusive && h.covers(l) }
	return !slices.ContainsFunc(e.holders, keepsAll) // then there is nothing to be had
}

// settle tells the system what the holders of h want of the bytes of l.
func (e *entry) settle(h *handle, l *Lock) error {
	if !e.key.ranged {
		return e.blame(h, l, h.fl.Set(h.strongest(nil).system()))
	}
	return e.blame(h, l, e.settleRange(h, l.lo, l.hi))
}

func (e *entry) settleRange(h *handle, lo, hi int64) error {
	e.layout(h, lo, hi, nil)
	for _, p := range e.pieces {
		if err := h.fl.SetRange(p.lo, p.hi, p.mode.system()); err != nil {
			return err
		}
	}
	return nil
}

// raise locks the bytes of r.l with r.mode, but those that another holder of h wants more of.
func (e *entry) raise(h *handle, r request) error {
	e.layout(h, r.l.lo, r.l.hi, r.l)
	for i, p := range e.pieces {
		err := h.fl.SetRange(p.lo, p.hi, max(p.mode, r.mode).system())
		if err == nil {
			continue
		}
		if i > 0 { // weakening what was just had, which nobody refuses
			if back := e.settleRange(h, r.l.lo, p.lo-1); back != nil {
				return errors.Join(err, back)
			}
		}
		return err
	}
	return nil
}

// layout fills e.pieces with what the holders of h, except one, want of the bytes from lo to hi.
func (e *entry) layout(h *handle, lo, hi int64, except *Lock) {
	e.pieces = e.pieces[:0]
	for at := lo; ; {
		end, mode := hi, Mode(0)
		for _, o := range e.holders {
			switch {
			case o.h != h || o == except || o.hi < at:
			case o.lo > at:
				end = min(end, o.lo-1)
			default:
				end, mode = min(end, o.hi), max(mode, o.mode)
			}
		}
		if n := len(e.pieces); n > 0 && e.pieces[n-1].mode == mode {
			e.pieces[n-1].hi = end
		} else {
			e.pieces = append(e.pieces, piece{at, end, mode})
		}
		if end == hi {
			return
		}
		at = end + 1
	}
}

// strongest is the strongest mode that a holder of h has, except one.
func (h *handle) strongest(except *Lock) Mode {
	shared, exclusive := h.shared, h.exclusive
	if except != nil {
		switch except.mode {
		case Shared:
			shared--
		case Exclusive:
			exclusive--
		}
	}
	switch {
	case exclusive > 0:
		return Exclusive
	case shared > 0:
		return Shared
	}
	return 0
}

// blame finds out who has lost what by a call of the system that failed. That may be nobody: what is lost
// may have been the hold of one who is just releasing it.
func (e *entry) blame(h *handle, l *Lock, err error) error {
	if !errors.Is(err, sys.ErrLockLost) {
		return err
	}
	lost := false
	for i := len(e.holders) - 1; i >= 0; i-- {
		if o := e.holders[i]; o.h == h && o.overlaps(l) {
			e.lose(o)
			lost = true
		}
	}
	refused := errors.Is(err, sys.ErrWouldBlock)
	switch {
	case lost && refused:
		return fmt.Errorf("%w: %w", ErrLost, ErrLocked)
	case lost:
		return fmt.Errorf("%w: %w", ErrLost, err)
	case refused:
		return sys.ErrWouldBlock
	}
	return err
}

func (e *entry) lose(l *Lock) {
	e.drop(l)
	l.lost.Store(true)
	e.detach(l)
}

// evictClosed ends the holds of files, except one, that were closed without a release. The system has
// ended them too, unless something else keeps the open file alive, which it will then say.
func (e *entry) evictClosed(except *handle) {
	for i := len(e.holders) - 1; i >= 0; i-- {
		if o := e.holders[i]; o.h != except && o.h.fl.Closed() {
			e.lose(o)
		}
	}
}
