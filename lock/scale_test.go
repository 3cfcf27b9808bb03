package lock_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

// TestStepsGrowSlowly: with ten times as many locks held or waited for, a call
// looks at little more of them, as the ones that it has nothing to do with do
// not count.
func TestStepsGrowSlowly(t *testing.T) {
	for _, tt := range []struct {
		name  string
		kind  int
		steps func(t *testing.T, n int) int

		descriptors int
	}{
		{"release one of n held ranges, and take it again", 1, stepsOfHolders, 0},
		{"join behind one of n waiters for ranges, and leave", 1, stepsOfJoining, 0},
		{"hand a range on among n waiters", 1, stepsOfRangeHandOver, 0},
		{"hand a file on among n waiters", 0, stepsOfFileHandOver, 0},
		{"hand a file on among n waiters that have opened it each", 0, stepsOfOwnFileHandOver, 6000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kinds[tt.kind].require(t)
			if tt.descriptors > 0 {
				testutil.RequireDescriptors(t, tt.descriptors)
			}
			// In a bubble no time passes, so that no waiter has to yield to
			// others.
			synctest.Test(t, func(t *testing.T) {
				few, many := tt.steps(t, 500), tt.steps(t, 5000)
				if many > 3*few {
					t.Errorf("%d steps with 500, %d with 5,000", few, many)
				}
			})
		})
	}
}

// holdRanges returns n locks, held, on bytes that lie side by side.
func holdRanges(t *testing.T, n int) (f func(i int) *lock.Lock, locks []*lock.Lock) {
	file := open(t, tempFile(t))
	f = func(i int) *lock.Lock { return lock.New(file).Range(int64(10*i), 10) }
	for i := range n {
		locks = append(locks, f(i))
		try(t, locks[i], lock.Exclusive)
	}
	return f, locks
}

func releaseAll(t *testing.T, locks []*lock.Lock) {
	t.Helper()
	for _, l := range locks {
		release(t, l)
	}
}

const samples = 100

func stepsOfHolders(t *testing.T, n int) int {
	_, locks := holdRanges(t, n)
	before := locks[0].Steps()
	r := rand.New(rand.NewPCG(1, 2))
	for range samples {
		l := locks[1+r.IntN(n-1)]
		release(t, l)
		try(t, l, lock.Exclusive)
	}
	steps := locks[0].Steps() - before
	releaseAll(t, locks)
	return steps
}

func stepsOfJoining(t *testing.T, n int) int {
	newLock, locks := holdRanges(t, n)
	var granted []*lock.Lock
	for i := range n {
		l := newLock(i)
		l.AcquireFunc(t.Context(), lock.Exclusive, func(error) { granted = append(granted, l) })
	}
	before := locks[0].Steps()
	r := rand.New(rand.NewPCG(1, 2))
	for range samples {
		l := newLock(1 + r.IntN(n-1))
		ctx, cancel := context.WithCancel(t.Context())
		outcome := make(chan error, 1)
		l.AcquireFunc(ctx, lock.Shared, func(err error) { outcome <- err })
		cancel()
		<-outcome
	}
	steps := locks[0].Steps() - before
	releaseAll(t, locks)
	releaseAll(t, granted)
	return steps
}

func stepsOfRangeHandOver(t *testing.T, n int) int {
	file := open(t, tempFile(t))
	return stepsOfHandOver(t, n, func() *lock.Lock { return lock.New(file).Range(0, 10) })
}

func stepsOfFileHandOver(t *testing.T, n int) int {
	file := open(t, tempFile(t))
	return stepsOfHandOver(t, n, func() *lock.Lock { return lock.New(file) })
}

func stepsOfOwnFileHandOver(t *testing.T, n int) int {
	name := tempFile(t)
	return stepsOfHandOver(t, n, func() *lock.Lock { return lock.New(open(t, name)) })
}

func stepsOfHandOver(t *testing.T, n int, newLock func() *lock.Lock) (steps int) {
	holder := newLock()
	try(t, holder, lock.Exclusive)
	for range n {
		l := newLock()
		l.AcquireFunc(t.Context(), lock.Exclusive, func(error) { holder = l })
	}
	// Of n waiters, the last one keeps the entry in use.
	before := holder.Steps()
	for range samples {
		release(t, holder)
	}
	steps = holder.Steps() - before
	for range n - samples + 1 {
		release(t, holder)
	}
	return steps
}
