package lock

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// This file has the methods of entry that read or change the holders, and that
// make system calls. None of them looks at the queue.
//
// The kernel sees one holder per open file, so for each byte we request the
// strongest mode that any Lock on that file holds.

// A piece is a stretch of bytes with one mode; zero is none.
type piece struct {
	lo, hi int64 // both included
	mode   Mode
}

// system returns m as package sys has it, which uses the same numbers.
func (m Mode) system() sys.LockMode { return sys.LockMode(m) }

// The numbers are the same in both packages, or this does not compile.
var _ = [1]struct{}{}[uint8(Shared)-uint8(sys.LockShared)+uint8(Exclusive)-uint8(sys.LockExclusive)]

// blocked reports whether a holder of this process blocks r.
func (e *entry) blocked(r request) bool {
	if r.weakens() || r.mode == Shared && e.exclusive == 0 {
		return false
	}
	for h := range e.holders.overlapping(r.l.lo, r.l.hi) {
		if r.blockedBy(h) {
			return true
		}
	}
	return false
}

// hold makes l a holder of m, or converts the mode that it holds.
func (e *entry) hold(l *Lock, m Mode) {
	if l.mode == 0 {
		e.holders.insert(&l.node, l, l.lo, l.hi)
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

// drop ends the hold of l in this process. The kernel is not told.
func (e *entry) drop(l *Lock) {
	e.count(l, -1)
	l.mode = 0
	e.holders.remove(&l.node)
	e.free(l)
}

// free notes that the bytes of l may have become available to waiters.
func (e *entry) free(l *Lock) {
	if e.freed {
		e.freeLo, e.freeHi = min(e.freeLo, l.lo), max(e.freeHi, l.hi)
	} else {
		e.freed, e.freeLo, e.freeHi = true, l.lo, l.hi
	}
}

// count adds n to the numbers of holders of the mode that l holds.
func (e *entry) count(l *Lock, n int) {
	if l.mode == Exclusive {
		e.exclusive += n
		l.h.exclusive += n
	} else {
		l.h.shared += n
	}
}

// take makes r.l a holder of r.mode if the kernel grants it. If another process
// holds the lock, take returns sys.ErrWouldBlock itself and all is as before.
func (e *entry) take(r request) error {
	h := r.l.h
	var err error
	if e.key.ranged {
		err = e.upgradeRange(h, r)
	} else {
		err = h.fl.Set(max(r.mode, h.strongest(r.l)).system())
	}
	if err == nil {
		e.hold(r.l, r.mode)
		return nil
	}
	return e.markLost(h, r.l, err)
}

// syncKernelLock asks the kernel for the modes that the holders of h want on the
// bytes of l.
func (e *entry) syncKernelLock(h *handle, l *Lock) error {
	if !e.key.ranged {
		return e.markLost(h, l, h.fl.Set(h.strongest(nil).system()))
	}
	return e.markLost(h, l, e.syncKernelRange(h, l.lo, l.hi))
}

func (e *entry) syncKernelRange(h *handle, lo, hi int64) error {
	e.coalesce(h, lo, hi, nil)
	for _, p := range e.pieces {
		if err := h.fl.SetRange(p.lo, p.hi, p.mode.system()); err != nil {
			return err
		}
	}
	return nil
}

// upgradeRange locks the bytes of r.l with r.mode, except those of which
// another holder of h wants more. If the kernel refuses some of them, those
// that it has granted are weakened back.
func (e *entry) upgradeRange(h *handle, r request) error {
	e.coalesce(h, r.l.lo, r.l.hi, r.l)
	for i, p := range e.pieces {
		err := h.fl.SetRange(p.lo, p.hi, max(p.mode, r.mode).system())
		if err == nil {
			continue
		}
		if i > 0 {
			if back := e.syncKernelRange(h, r.l.lo, p.lo-1); back != nil {
				return errors.Join(err, back)
			}
		}
		return err
	}
	return nil
}

// coalesce sets e.pieces to the modes that the holders of h want on the bytes
// from lo to hi, leaving out the lock except.
func (e *entry) coalesce(h *handle, lo, hi int64, except *Lock) {
	e.pieces = e.pieces[:0]
	// The holders come in the order of their first bytes. So a byte is wanted
	// in a mode if the furthest last byte among those that have begun is not
	// before it.
	sharedTo, exclusiveTo := int64(-1), int64(-1)
	at := lo
	for o := range e.holders.overlapping(lo, hi) {
		if o.h != h || o == except {
			continue
		}
		if o.lo > at {
			e.addPieces(at, o.lo-1, sharedTo, exclusiveTo)
			at = o.lo
		}
		if o.mode == Exclusive {
			exclusiveTo = max(exclusiveTo, o.hi)
		} else {
			sharedTo = max(sharedTo, o.hi)
		}
	}
	e.addPieces(at, hi, sharedTo, exclusiveTo)
}

// addPieces appends the bytes from lo to hi, of which those up to exclusiveTo
// are wanted exclusively, and of the rest those up to sharedTo shared.
func (e *entry) addPieces(lo, hi, sharedTo, exclusiveTo int64) {
	for {
		p := piece{lo, hi, 0}
		switch {
		case lo <= exclusiveTo:
			p.hi, p.mode = min(hi, exclusiveTo), Exclusive
		case lo <= sharedTo:
			p.hi, p.mode = min(hi, sharedTo), Shared
		}
		if n := len(e.pieces); n > 0 && e.pieces[n-1].mode == p.mode {
			e.pieces[n-1].hi = p.hi
		} else {
			e.pieces = append(e.pieces, p)
		}
		if p.hi == hi {
			return
		}
		lo = p.hi + 1
	}
}

// strongest returns the strongest mode that a lock of h holds, leaving out
// except.
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

// markLost marks the locks lost in a failed conversion, and returns the error
// that its caller is to return. There may be none, if the only affected lock is
// being released.
func (e *entry) markLost(h *handle, l *Lock, err error) error {
	if !errors.Is(err, sys.ErrLockLost) {
		return err
	}
	lost := false
	for _, o := range slices.Collect(e.holders.overlapping(l.lo, l.hi)) {
		if o.h == h {
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

// lose ends the hold of l, which the kernel has ended.
func (e *entry) lose(l *Lock) {
	e.drop(l)
	l.lost.Store(true)
	e.detach(l)
}

// evictClosed ends the holds that block r of files that were closed without a
// release, except on the file of r. The kernel has ended them too, unless
// something else keeps the open file alive; then it refuses r.
func (e *entry) evictClosed(r request) {
	for _, o := range slices.Collect(e.holders.overlapping(r.l.lo, r.l.hi)) {
		if o.mode != 0 && o.h != r.l.h && r.blockedBy(o) && o.h.fl.Closed() {
			e.lose(o)
		}
	}
}

// coveredExclusively reports whether a lock holds all bytes of l exclusively.
func (e *entry) coveredExclusively(l *Lock) bool {
	for h := range e.holders.overlapping(l.lo, l.hi) {
		if h.mode == Exclusive && h.covers(l) {
			return true
		}
	}
	return false
}

// isGone reports whether after a release that returned err nothing is held.
func isGone(err error) bool {
	return err == nil || errors.Is(err, fs.ErrClosed) || errors.Is(err, ErrLost)
}
