package lock_test

import (
	"testing"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/lock"
)

// TestNestedPassesItsOwner: what the owner holds blocks only locks that are not
// nested in it.
func TestNestedPassesItsOwner(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		for _, has := range []lock.Mode{lock.Shared, lock.Exclusive} {
			for _, m := range []lock.Mode{lock.Shared, lock.Exclusive} {
				t.Run(has.String()+" with "+m.String(), func(t *testing.T) {
					name := tempFile(t)
					f := open(t, name)
					owner, other := k.lock(f, 0), k.lock(f, 1)
					nested, sibling := owner.Nested(), owner.Nested()
					deep := nested.Nested()
					try(t, owner, has)
					try(t, nested, m)
					try(t, deep, m)
					wantErr(t, other.Try(lock.Exclusive), "lock", lock.ErrLocked)
					wantErr(t, sibling.Try(lock.Exclusive), "lock", lock.ErrLocked)
					release(t, deep)
					release(t, nested)
					wantHeld(t, owner, has)
					try(t, sibling, lock.Exclusive)
					release(t, sibling)
					wantHeld(t, owner, has)
					out := stranger(t, name)
					if err := k.outsider(out, sys.LockExclusive); err != sys.ErrWouldBlock {
						t.Errorf("from outside: %v, want %v", err, sys.ErrWouldBlock)
					}
					release(t, owner)
				})
			}
		}
	})
}

// TestNestedBlocksItsOwner: the owner cannot be granted what a nested lock
// excludes.
func TestNestedBlocksItsOwner(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		owner := k.lock(open(t, tempFile(t)), 0)
		nested := owner.Nested()
		try(t, owner, lock.Shared)
		try(t, nested, lock.Shared)
		wantErr(t, owner.Try(lock.Exclusive), "lock", lock.ErrLocked)
		outcome := start(t, owner, lock.Exclusive)
		release(t, nested)
		wantOutcome(t, outcome, nil)
		try(t, nested, lock.Exclusive)
		try(t, owner, lock.Shared) // weakening what is held is always possible
		release(t, owner)
		wantErr(t, owner.Try(lock.Shared), "lock", lock.ErrLocked)
		release(t, nested)
	})
}

// TestNestedOvertakesWaitersForItsOwner: otherwise the owner, waiting for it,
// would wait for a stranger that waits for the owner.
func TestNestedOvertakesWaitersForItsOwner(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		f := open(t, tempFile(t))
		owner, stranger := k.lock(f, 0), k.lock(f, 1)
		first, second := owner.Nested(), owner.Nested()
		try(t, owner, lock.Shared)
		waiting := start(t, stranger, lock.Exclusive)
		try(t, first, lock.Exclusive)
		turn := start(t, second, lock.Exclusive)
		wantWaiting(t, turn)
		release(t, first)
		wantOutcome(t, turn, nil)
		release(t, second)
		wantWaiting(t, waiting)
		release(t, owner)
		wantOutcome(t, waiting, nil)
		release(t, stranger)
	})
}

// TestNestedDeadlocks: two owners share, and what is nested in each wants all.
func TestNestedDeadlocks(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		name := tempFile(t)
		a, b := k.lock(open(t, name), 0), k.lock(open(t, name), 1)
		try(t, a, lock.Shared)
		try(t, b, lock.Shared)
		nested := a.Nested()
		outcome := start(t, nested, lock.Exclusive)
		wantErr(t, b.Nested().Acquire(t.Context(), lock.Exclusive), "lock", lock.ErrDeadlock)
		wantErr(t, b.Acquire(t.Context(), lock.Exclusive), "lock", lock.ErrDeadlock)
		release(t, b)
		wantOutcome(t, outcome, nil)
		release(t, a)
		// The nested one is held still, by itself.
		wantErr(t, b.Try(lock.Shared), "lock", lock.ErrLocked)
		release(t, nested)
	})
}
