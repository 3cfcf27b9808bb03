package lock_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/lock"
)

// start requests m for l, and returns the channel of its outcome.
func start(t *testing.T, l *lock.Lock, m lock.Mode) <-chan error {
	t.Helper()
	outcome := make(chan error, 1)
	l.AcquireFunc(t.Context(), m, func(err error) { outcome <- err })
	return outcome
}

func wantWaiting(t *testing.T, outcome <-chan error) {
	t.Helper()
	select {
	case err := <-outcome:
		t.Fatalf("outcome %v, want it to wait", err)
	default:
	}
}

func wantOutcome(t *testing.T, outcome <-chan error, want error) {
	t.Helper()
	select {
	case err := <-outcome:
		if !errors.Is(err, want) {
			t.Fatalf("outcome %v, want %v", err, want)
		}
	default:
		t.Fatalf("no outcome, want %v", want)
	}
}

// TestUpgradeOvertakesItsWaiters: they could not be granted before it anyway.
func TestUpgradeOvertakesItsWaiters(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		f := open(t, tempFile(t))
		a, b, c := k.lock(f, 1), k.lock(f, 2), k.lock(f, 3)
		try(t, a, lock.Shared)
		try(t, b, lock.Shared)
		writer := start(t, c, lock.Exclusive)
		upgrade := start(t, a, lock.Exclusive)
		wantHeld(t, a, lock.Shared)
		release(t, b)
		wantOutcome(t, upgrade, nil)
		wantHeld(t, a, lock.Exclusive)
		wantWaiting(t, writer)
		// Downgrading does not wait, and lets no request overtake the writer.
		try(t, a, lock.Shared)
		wantErr(t, b.Try(lock.Shared), "lock", lock.ErrLocked)
		release(t, a)
		wantOutcome(t, writer, nil)
		release(t, c)
	})
}

func TestDowngradeLetsReadersIn(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		f := open(t, tempFile(t))
		a, b, c := k.lock(f, 1), k.lock(f, 2), k.lock(f, 3)
		try(t, a, lock.Exclusive)
		reader, writer := start(t, b, lock.Shared), start(t, c, lock.Exclusive)
		if err := a.Acquire(t.Context(), lock.Shared); err != nil {
			t.Fatal(err)
		}
		wantOutcome(t, reader, nil)
		wantWaiting(t, writer)
		release(t, a)
		release(t, b)
		wantOutcome(t, writer, nil)
		release(t, c)
	})
}

func TestSecondUpgradeFailsWithErrDeadlock(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		for _, files := range []string{"one file", "two files"} {
			t.Run(files, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					name := tempFile(t)
					f := open(t, name)
					g := f
					if files == "two files" {
						g = open(t, name)
					}
					a, b, idle := k.lock(f, 1), k.lock(g, 2), k.lock(f, 3)
					try(t, a, lock.Shared)
					try(t, b, lock.Shared)
					waiter := start(t, idle, lock.Exclusive)
					first := start(t, a, lock.Exclusive)
					wantErr(t, b.Acquire(t.Context(), lock.Exclusive), "lock", lock.ErrDeadlock)
					wantErr(t, b.Try(lock.Exclusive), "lock", lock.ErrLocked)
					wantHeld(t, a, lock.Shared)
					wantHeld(t, b, lock.Shared)
					wantWaiting(t, first)
					release(t, b)
					wantOutcome(t, first, nil)
					release(t, a)
					wantOutcome(t, waiter, nil)
					release(t, idle)
				})
			})
		}
	})
}

// TestDeadlockThroughAThird: a ring of three nested requests, each of which
// waits for the next one's owner.
func TestDeadlockThroughAThird(t *testing.T) {
	kinds[1].require(t)
	synctest.Test(t, testDeadlockThroughAThird)
}

func testDeadlockThroughAThird(t *testing.T) {
	f := open(t, tempFile(t))
	r := func(off, n int64) *lock.Lock { return lock.New(f).Range(off, n) }
	// Each overlaps its neighbours: a and b at 10, b and c at 20, c and a at
	// 30.
	a, b, c := r(0, 40), r(10, 11), r(20, 11)
	for _, l := range []*lock.Lock{a, b, c} {
		try(t, l, lock.Shared)
	}
	outcome := start(t, b, lock.Exclusive)
	wantErr(t, c.Acquire(t.Context(), lock.Exclusive), "lock", lock.ErrDeadlock)
	wantErr(t, a.Acquire(t.Context(), lock.Exclusive), "lock", lock.ErrDeadlock)
	release(t, a)
	wantWaiting(t, outcome)
	release(t, c)
	wantOutcome(t, outcome, nil)
	release(t, b)
}

// TestRefusedUpgradeKeepsTheLock: another process shares the lock. For flock(2)
// the refusal has dropped it in the system, where it must have been taken
// again.
func TestRefusedUpgradeKeepsTheLock(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		name := tempFile(t)
		l, out := k.lock(open(t, name), 0), stranger(t, name)
		try(t, l, lock.Shared)
		if err := k.outsider(out, sys.LockShared); err != nil {
			t.Fatal(err)
		}
		stillHeld := func() {
			t.Helper()
			wantHeld(t, l, lock.Shared)
			if err := k.outsider(out, sys.LockExclusive); err != sys.ErrWouldBlock {
				t.Errorf("upgrade from outside = %v, want %v", err, sys.ErrWouldBlock)
			}
		}
		wantErr(t, l.Try(lock.Exclusive), "lock", lock.ErrLocked)
		stillHeld()
		ctx, cancel := context.WithCancel(t.Context())
		outcome := make(chan error, 1)
		l.AcquireFunc(ctx, lock.Exclusive, func(err error) { outcome <- err })
		stillHeld()
		cancel()
		if err := <-outcome; !errors.Is(err, context.Canceled) {
			t.Errorf("outcome %v, want %v", err, context.Canceled)
		}
		stillHeld()
		release(t, l)
		if err := k.outsider(out, sys.LockExclusive); err != nil {
			t.Errorf("upgrade from outside after the release = %v", err)
		}
	})
}

// TestRefusedRangeKeepsNothingNew: another process holds the last bytes of a
// range of which this process shares some in the middle. What the kernel
// granted before it refused is unlocked again, and what was shared stays
// shared.
func TestRefusedRangeKeepsNothingNew(t *testing.T) {
	kinds[1].require(t)
	name := tempFile(t)
	f, out := open(t, name), stranger(t, name)
	if err := out.SetRange(7, 9, sys.LockExclusive); err != nil {
		t.Fatal(err)
	}
	middle := lock.New(f).Range(3, 2)
	try(t, middle, lock.Shared)
	wantErr(t, lock.New(f).Range(0, 10).Try(lock.Shared), "lock", lock.ErrLocked)
	for _, tt := range []struct {
		lo, hi int64
		want   error
	}{{0, 2, nil}, {3, 4, sys.ErrWouldBlock}, {5, 6, nil}} {
		if err := out.SetRange(tt.lo, tt.hi, sys.LockExclusive); err != tt.want {
			t.Errorf("bytes %d to %d from outside: %v, want %v", tt.lo, tt.hi, err, tt.want)
		}
	}
	release(t, middle)
}

// TestLostUpgradeReturnsErrLost: another process comes in after the refused
// conversion has dropped the shared lock and before it is taken again. Ranges
// on Linux cannot lose theirs.
func TestLostUpgradeReturnsErrLost(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(l *lock.Lock) error
	}{
		{"Try", func(l *lock.Lock) error { return l.Try(lock.Exclusive) }},
		{"Acquire", func(l *lock.Lock) error { return l.Acquire(context.Background(), lock.Exclusive) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kinds[0].require(t)
			name := tempFile(t)
			owner, out := lock.New(open(t, name)), stranger(t, name)
			l := owner.Nested()
			try(t, owner, lock.Shared)
			try(t, l, lock.Shared)
			if err := out.Set(sys.LockShared); err != nil {
				t.Fatal(err)
			}
			calls := 0
			restore := sys.Inject(func(sys.Op) error {
				if calls++; calls == 2 {
					if err := out.Set(sys.LockExclusive); err != nil {
						t.Skipf("a refused upgrade drops nothing on this platform: %v", err)
					}
				}
				return nil
			})
			err := tt.do(l)
			restore()
			wantErr(t, err, "lock", lock.ErrLost, lock.ErrLocked)
			for _, lost := range []*lock.Lock{l, owner} {
				wantHeld(t, lost, 0)
				wantErr(t, lost.Release(), "unlock", lock.ErrLost)
				wantErr(t, lost.Release(), "unlock", lock.ErrNotHeld)
			}
			if n := lock.Entries(); n != 0 {
				t.Errorf("%d entries are left in the table", n)
			}
			if err := out.Set(sys.Unlocked); err != nil {
				t.Fatal(err)
			}
			try(t, l, lock.Exclusive)
			release(t, l)
		})
	}
}

// TestWaiterOutlivesWhatTheReleaserLoses: a shared lock is handed on to an
// exclusive request, which is a conversion for the system. It is refused, and
// the shared lock is lost; but the waiter held nothing that it could lose.
func TestWaiterOutlivesWhatTheReleaserLoses(t *testing.T) {
	kinds[0].require(t)
	synctest.Test(t, func(t *testing.T) {
		name := tempFile(t)
		f, out := open(t, name), stranger(t, name)
		reader, writer := lock.New(f), lock.New(f)
		try(t, reader, lock.Shared)
		if err := out.Set(sys.LockShared); err != nil {
			t.Fatal(err)
		}
		outcome := start(t, writer, lock.Exclusive)
		calls := 0
		restore := sys.Inject(func(sys.Op) error {
			if calls++; calls == 2 {
				_ = out.Set(sys.LockExclusive) // where a refusal drops nothing it fails, and nothing is lost
			}
			return nil
		})
		release(t, reader)
		restore()
		wantWaiting(t, outcome)
		if err := out.Set(sys.Unlocked); err != nil {
			t.Fatal(err)
		}
		<-time.After(lock.LongestPause)
		wantOutcome(t, outcome, nil)
		release(t, writer)
	})
}

// TestUpgradeIsAtomicInTheProcess: each adds one to a number between its
// upgrade and its release, after having read it under the shared lock; one that
// fails with ErrDeadlock starts again.
func TestUpgradeIsAtomicInTheProcess(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		name := tempFile(t)
		const workers, rounds = 8, 100
		shared := 0 // written under Exclusive, read under Shared
		done := make(chan struct{})
		for i := range int64(workers) {
			l := k.lock(open(t, name), i)
			go func() {
				defer func() { done <- struct{}{} }()
				for added := 0; added < rounds; {
					if err := l.Acquire(t.Context(), lock.Shared); err != nil {
						t.Errorf("Acquire(Shared) = %v", err)
						return
					}
					seen := shared
					switch err := l.Acquire(t.Context(), lock.Exclusive); {
					case err == nil:
						if shared != seen {
							t.Errorf("changed from %d to %d during the upgrade", seen, shared)
						}
						shared++
						added++
					case !errors.Is(err, lock.ErrDeadlock):
						t.Errorf("Acquire(Exclusive) = %v", err)
						return
					}
					release(t, l)
				}
			}()
		}
		for range workers {
			<-done
		}
		if shared != workers*rounds {
			t.Errorf("counted %d, want %d", shared, workers*rounds)
		}
	})
}
