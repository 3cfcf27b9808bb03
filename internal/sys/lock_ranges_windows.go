package sys

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/windows"
)

// ranges has the pieces that one handle has locked, in order and disjoint.
// LockFileEx neither splits nor joins nor converts: what one call has locked is
// unlocked by one call with the same bytes.
type ranges struct{ pieces []piece }

// A piece is a stretch of bytes with one mode.
type piece struct {
	lo, hi int64 // both included
	mode   LockMode
}

// meets reports whether p and the bytes from lo to hi overlap.
func (p piece) meets(lo, hi int64) bool { return p.lo <= hi && lo <= p.hi }

func (p piece) lock(h windows.Handle) error {
	return lockBytes(h, rangeBase+p.lo, rangeBase+p.hi, p.mode)
}

func (p piece) unlock(h windows.Handle) error {
	return unlockBytes(h, rangeBase+p.lo, rangeBase+p.hi)
}

// lockRange sets the mode of a range. If that is refused it restores the old
// modes.
func (l *FileLock) lockRange(fd uintptr) error {
	if CallOFD.Missing() {
		return errors.ErrUnsupported
	}
	h, r := windows.Handle(fd), &l.ranges
	lo, hi := l.lo, min(l.hi, lastRange-rangeBase)
	if lo > hi {
		return windows.ERROR_INVALID_PARAMETER // no file is as long as that
	}
	before := r.within(lo, hi)
	err := r.set(h, piece{lo, hi, l.mode})
	if err == nil {
		return nil
	}
	for _, p := range before {
		if back := r.set(h, p); back != nil {
			return fmt.Errorf("%w: %w", ErrLockLost, err)
		}
	}
	return err
}

// within returns how the bytes from lo to hi are locked, as pieces that cover
// them all. The unlocked ones come first: to undo a failed call, what it has
// locked must be unlocked before what it has unlocked can be locked again.
func (r *ranges) within(lo, hi int64) []piece {
	var gaps, held []piece
	at := lo
	for _, p := range r.pieces {
		if !p.meets(lo, hi) {
			continue
		}
		if at < p.lo {
			gaps = append(gaps, piece{at, p.lo - 1, Unlocked})
		}
		held = append(held, piece{max(lo, p.lo), min(hi, p.hi), p.mode})
		at = p.hi + 1
	}
	if at <= hi {
		gaps = append(gaps, piece{at, hi, Unlocked})
	}
	return append(gaps, held...)
}

// set locks the bytes of want with its mode. After an error r still has what is
// locked.
func (r *ranges) set(h windows.Handle, want piece) error {
	for _, p := range slices.Clone(r.pieces) {
		if p.mode == want.mode || !p.meets(want.lo, want.hi) {
			continue
		}
		if err := r.cut(h, p, want); err != nil {
			return err
		}
	}
	if want.mode == Unlocked {
		return nil
	}
	for _, gap := range r.within(want.lo, want.hi) {
		if gap.mode != Unlocked {
			continue // it had the wanted mode
		}
		gap.mode = want.mode
		if err := gap.lock(h); err != nil {
			return err
		}
		r.add(gap)
	}
	return nil
}

// cut removes the bytes of want from p. Since a handle may lock again in shared
// mode what it has locked, bytes that stay shared are never unlocked.
func (r *ranges) cut(h windows.Handle, p, want piece) error {
	var keep, later []piece
	if p.lo < want.lo {
		keep = append(keep, piece{p.lo, want.lo - 1, p.mode})
	}
	if p.hi > want.hi {
		keep = append(keep, piece{want.hi + 1, p.hi, p.mode})
	}
	if want.mode == LockShared {
		keep = append(keep, piece{max(p.lo, want.lo), min(p.hi, want.hi), LockShared})
	}
	locked := keep[:0:0]
	for _, k := range keep {
		if k.mode == LockShared && k.lock(h) == nil {
			locked = append(locked, k)
		} else {
			later = append(later, k)
		}
	}
	if err := p.unlock(h); err != nil {
		for _, k := range locked {
			_ = k.unlock(h) // p still covers it
		}
		return err
	}
	r.pieces = slices.DeleteFunc(r.pieces, func(q piece) bool { return q == p })
	for _, k := range locked {
		r.add(k)
	}
	for _, k := range later {
		if err := k.lock(h); err != nil {
			return err
		}
		r.add(k)
	}
	return nil
}

// add adds p, which overlaps no other piece.
func (r *ranges) add(p piece) {
	i, _ := slices.BinarySearchFunc(r.pieces, p.lo, func(q piece, lo int64) int {
		if q.lo < lo {
			return -1
		}
		return 1
	})
	r.pieces = slices.Insert(r.pieces, i, p)
}
