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
