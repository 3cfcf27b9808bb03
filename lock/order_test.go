package lock_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/fmmap-go/fmmap/lock"
)

// TestConversionThatWasAskedForFirst: one lock is waited for twice, to be
// shared and then exclusive, with another request in between.
func TestConversionThatWasAskedForFirst(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		f := open(t, tempFile(t))
		holder, l, other := k.lock(f, 1), k.lock(f, 2), k.lock(f, 3)
		try(t, holder, lock.Exclusive)
		shared, strangers, exclusive := start(t, l, lock.Shared), start(t, other, lock.Exclusive), start(t, l, lock.Exclusive)
		release(t, holder)
		wantOutcome(t, shared, nil)
		wantOutcome(t, exclusive, nil)
		wantWaiting(t, strangers)
		wantHeld(t, l, lock.Exclusive)
		release(t, l)
		wantOutcome(t, strangers, nil)
		release(t, other)
	})
}

// TestDeadlockThatWasAskedForFirst: two locks wait to be shared, and each to be
// converted after that, before either holds. One conversion fails as soon as
// both share, and the other is granted when that one has released.
func TestDeadlockThatWasAskedForFirst(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		for _, first := range []int{0, 1} {
			t.Run(fmt.Sprint(first), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := open(t, tempFile(t))
					holder, last := k.lock(f, 1), k.lock(f, 2)
					locks := []*lock.Lock{k.lock(f, 3), k.lock(f, 4)}
					var shares, converts [2]<-chan error
					try(t, holder, lock.Exclusive)
					for i, l := range locks {
						shares[i] = start(t, l, lock.Shared)
					}
					for _, i := range []int{first, 1 - first} {
						converts[i] = start(t, locks[i], lock.Exclusive)
					}
					after := start(t, last, lock.Shared)
					release(t, holder)
					wantOutcome(t, shares[0], nil)
					wantOutcome(t, shares[1], nil)
					wantOutcome(t, converts[1], lock.ErrDeadlock) // of the lock that was shared last
					wantWaiting(t, converts[0])
					wantWaiting(t, after)
					release(t, locks[1])
					wantOutcome(t, converts[0], nil)
					wantHeld(t, locks[0], lock.Exclusive)
					release(t, locks[0])
					wantOutcome(t, after, nil)
					release(t, last)
				})
			})
		}
	})
}

// TestRequestBehindAnotherOfItsLock: a lock is waited for twice, to be exclusive
// and then shared. The second request does not wait for the first.
func TestRequestBehindAnotherOfItsLock(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		f := open(t, tempFile(t))
		holder, l := k.lock(f, 0), k.lock(f, 1)
		nested := holder.Nested()
		try(t, holder, lock.Shared)
		try(t, nested, lock.Exclusive)
		exclusive, shared := start(t, l, lock.Exclusive), start(t, l, lock.Shared)
		wantWaiting(t, shared)
		release(t, nested)
		wantOutcome(t, shared, nil)
		wantWaiting(t, exclusive)
		release(t, holder)
		wantOutcome(t, exclusive, nil)
		release(t, l)
	})
}

// TestConversionMovesWhatItWaitsFor: a lock is waited for twice, to be shared
// and then exclusive. Once it is shared its conversion goes before an earlier
// request that waits for it, and so does a request that the conversion waits
// for.
func TestConversionMovesWhatItWaitsFor(t *testing.T) {
	kinds[1].require(t)
	synctest.Test(t, func(t *testing.T) {
		f := lock.New(open(t, tempFile(t)))
		owner, l, left := f.Range(1, 1), f.Range(0, 2), f.Range(0, 1)
		first, second := owner.Nested(), owner.Nested()
		try(t, owner, lock.Shared)
		try(t, first, lock.Exclusive)
		shared := start(t, l, lock.Shared)         // waits for first
		stranger := start(t, left, lock.Exclusive) // behind shared
		turn := start(t, second, lock.Shared)      // waits for first
		exclusive := start(t, l, lock.Exclusive)
		wantWaiting(t, turn)
		release(t, first)
		wantOutcome(t, shared, nil)
		wantOutcome(t, turn, nil) // or the owner, which may wait for it, keeps exclusive waiting
		wantWaiting(t, exclusive)
		wantWaiting(t, stranger)
		release(t, second)
		release(t, owner)
		wantOutcome(t, exclusive, nil)
		wantWaiting(t, stranger)
		release(t, l)
		wantOutcome(t, stranger, nil)
		release(t, left)
	})
}
