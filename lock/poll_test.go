package lock_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/lock"
)

// watchCalls counts the system calls of op, and notes when each was made.
func watchCalls(t *testing.T, op sys.Op) (times func() []time.Time) {
	t.Helper()
	var mu sync.Mutex
	var at []time.Time
	t.Cleanup(sys.Inject(func(o sys.Op) error {
		if o == op {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
		}
		return nil
	}))
	return func() []time.Time {
		mu.Lock()
		defer mu.Unlock()
		return at
	}
}

// TestOnlyTheHeadPolls: a hundred waiters cost the system calls of one, whose
// pauses grow, and are jittered.
func TestOnlyTheHeadPolls(t *testing.T) {
	for _, m := range []lock.Mode{lock.Shared, lock.Exclusive} {
		t.Run(m.String(), func(t *testing.T) {
			still(t, func(t *testing.T, k kind) { testOnlyTheHeadPolls(t, k, m) })
		})
	}
}

func testOnlyTheHeadPolls(t *testing.T, k kind, m lock.Mode) {
	name := tempFile(t)
	out := stranger(t, name)
	if err := k.outsider(out, sys.LockExclusive); err != nil {
		t.Fatal(err)
	}
	f := open(t, name)
	calls := watchCalls(t, k.op)
	locks := make([]*lock.Lock, 100)
	outcome := make(chan error, len(locks))
	for i := range locks {
		locks[i] = k.lock(f, 0)
		locks[i].AcquireFunc(t.Context(), m, func(err error) { outcome <- err })
	}
	<-time.After(time.Second)
	wantPauses(t, calls())
	if err := k.outsider(out, sys.Unlocked); err != nil {
		t.Fatal(err)
	}
	<-time.After(lock.LongestPause)
	wantOutcome(t, outcome, nil)
	made := len(calls())
	<-time.After(time.Second)
	if n := len(calls()); n != made {
		t.Errorf("%d system calls while a lock of the same process is waited for", n-made)
	}
	for l := holders(locks); len(l) > 0; l = holders(locks) {
		for _, l := range l {
			release(t, l)
		}
	}
}

// wantPauses looks at when one waiter has asked the system during a second.
func wantPauses(t *testing.T, at []time.Time) {
	t.Helper()
	if least := int(time.Second / lock.LongestPause); len(at) < least || len(at) > 4*least {
		t.Errorf("%d system calls in a second", len(at))
	}
	steady := map[time.Duration]bool{}
	for i := 1; i < len(at); i++ {
		pause, longest := at[i].Sub(at[i-1]), lock.LongestPause
		if i == 1 {
			longest = lock.FirstPause
		}
		if pause <= 0 || pause > longest {
			t.Errorf("pause %d is %v, want at most %v", i, pause, longest)
		}
		if i > len(at)/2 {
			steady[pause] = true
		}
	}
	if len(steady) < len(at)/4 {
		t.Errorf("the pauses are not jittered: %v", steady)
	}
}

// TestNextHeadPollsAfterCancel: the turn to poll is handed on when its owner
// gives up.
func TestNextHeadPollsAfterCancel(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		name := tempFile(t)
		out := stranger(t, name)
		if err := k.outsider(out, sys.LockShared); err != nil {
			t.Fatal(err)
		}
		f := open(t, name)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var gaveUp error
		k.lock(f, 0).AcquireFunc(ctx, lock.Exclusive, func(err error) { gaveUp = err })
		reader, writer := k.lock(f, 1), k.lock(f, 2)
		read, write := start(t, reader, lock.Shared), start(t, writer, lock.Exclusive)
		<-time.After(time.Second)
		synctest.Wait()
		wantErr(t, gaveUp, "lock", context.DeadlineExceeded)
		wantOutcome(t, read, nil) // at once: others share too
		release(t, reader)
		<-time.After(time.Second)
		wantWaiting(t, write)
		if err := k.outsider(out, sys.Unlocked); err != nil {
			t.Fatal(err)
		}
		<-time.After(lock.LongestPause)
		wantOutcome(t, write, nil)
		release(t, writer)
	})
}

// TestHandOverCalls: a whole file that is handed on within one os.File makes no
// system call, and otherwise each change is one.
func TestHandOverCalls(t *testing.T) {
	for _, tt := range []struct {
		k     kind
		files int
		want  int
	}{{kinds[0], 1, 0}, {kinds[0], 2, 2}, {kinds[1], 1, 2}, {kinds[1], 2, 2}} {
		t.Run(fmt.Sprintf("%s/%d", tt.k.name, tt.files), func(t *testing.T) {
			tt.k.require(t)
			synctest.Test(t, func(t *testing.T) {
				name := tempFile(t)
				f := open(t, name)
				a, b := tt.k.lock(f, 0), tt.k.lock(f, 0)
				if tt.files == 2 {
					b = tt.k.lock(open(t, name), 0)
				}
				try(t, a, lock.Exclusive)
				outcome := start(t, b, lock.Exclusive)
				calls := watchCalls(t, tt.k.op)
				release(t, a)
				wantOutcome(t, outcome, nil)
				if n := len(calls()); n != tt.want {
					t.Errorf("%d system calls, want %d", n, tt.want)
				}
				release(t, b)
			})
		})
	}
}

// TestOtherProcessesGetTheirTurn: goroutines of this process hand the lock on
// among themselves all the time, and another process, which looks from time to
// time, must find it free.
func TestOtherProcessesGetTheirTurn(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		for _, files := range []string{"one file", "own files"} {
			for _, workers := range []int64{2, 3} { // of two, none waits when the other has just been given the lock
				t.Run(fmt.Sprintf("%s/%d", files, workers), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { testOthersTurn(t, k, files, workers) })
				})
			}
		}
	})
}

func testOthersTurn(t *testing.T, k kind, files string, workers int64) {
	name := tempFile(t)
	f, out := open(t, name), stranger(t, name)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var wg sync.WaitGroup
	turns := 0 // guarded by the lock under test
	for i := range workers {
		if files == "own files" {
			f = open(t, name)
		}
		l := k.lock(f, i)
		wg.Go(func() {
			for l.Acquire(ctx, lock.Exclusive) == nil {
				turns++
				<-time.After(time.Millisecond / 3)
				release(t, l)
			}
		})
	}
	met := 0
	for ctx.Err() == nil {
		<-time.After(time.Millisecond / 7)
		if k.outsider(out, sys.LockExclusive) == nil {
			met++
			if err := k.outsider(out, sys.Unlocked); err != nil {
				t.Fatal(err)
			}
		}
	}
	wg.Wait()
	if most := int(time.Second / lock.LongestTurn); met == 0 || met > 10*most || turns < 2500 {
		t.Errorf("in a second the others found the lock free %d times, and we had it %d times", met, turns)
	}
}

// TestTryFindsWhatHasBecomeFree: a waiter that polls, between two attempts,
// does not make a free lock look taken to a request that may share it.
func TestTryFindsWhatHasBecomeFree(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		name := tempFile(t)
		out := stranger(t, name)
		if err := k.outsider(out, sys.LockExclusive); err != nil {
			t.Fatal(err)
		}
		f := open(t, name)
		a, b := k.lock(f, 0), k.lock(f, 0)
		outcome := start(t, a, lock.Shared)
		wantErr(t, b.Try(lock.Shared), "lock", lock.ErrLocked)
		if err := k.outsider(out, sys.Unlocked); err != nil {
			t.Fatal(err)
		}
		wantWaiting(t, outcome)
		try(t, b, lock.Shared)
		wantOutcome(t, outcome, nil)
		release(t, a)
		release(t, b)
	})
}

// TestPartialRangesPollApart: a request for a part that is free does not wait
// for one that wants more.
func TestPartialRangesPollApart(t *testing.T) {
	kinds[1].require(t)
	name := tempFile(t)
	out := stranger(t, name)
	if err := out.SetRange(0, 9, sys.LockExclusive); err != nil {
		t.Fatal(err)
	}
	f := open(t, name)
	wide, narrow := lock.New(f).Range(0, 100), lock.New(f).Range(50, 10)
	outcome := start(t, wide, lock.Shared)
	if err := narrow.Acquire(t.Context(), lock.Shared); err != nil {
		t.Fatal(err)
	}
	wantWaiting(t, outcome)
	release(t, narrow)
	if err := out.SetRange(0, 9, sys.Unlocked); err != nil {
		t.Fatal(err)
	}
	if err := <-outcome; err != nil {
		t.Fatal(err)
	}
	release(t, wide)
}

// TestWaitersCostNoThreads: a thousand of them, against this process and
// against another.
func TestWaitersCostNoThreads(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		for _, holder := range []string{"own process", "another process"} {
			t.Run(holder, func(t *testing.T) {
				const n = 1000
				// To the runtime, goroutines that have ended exist again while
				// a collection takes their stacks.
				defer debug.SetGCPercent(debug.SetGCPercent(-1))
				runtime.GC()
				name := tempFile(t)
				f := open(t, name)
				held, out := k.lock(f, 0), stranger(t, name)
				if holder == "own process" {
					try(t, held, lock.Exclusive)
				} else if err := k.outsider(out, sys.LockExclusive); err != nil {
					t.Fatal(err)
				}
				threads, goroutines := threads(t), runtime.NumGoroutine()
				ctx, cancel := context.WithCancel(t.Context())
				outcome := make(chan error, 2*n)
				for i := range int64(n) {
					k.lock(f, i%5).AcquireFunc(ctx, lock.Exclusive, func(err error) { outcome <- err })
				}
				if extra := runtime.NumGoroutine() - goroutines; extra > 2 {
					t.Errorf("%d waiters of AcquireFunc have %d goroutines", n, extra)
				}
				for i := range int64(n) {
					l := k.lock(f, i%5)
					go func() { outcome <- l.Acquire(ctx, lock.Shared) }()
				}
				for range 20 { // some pauses of the head
					<-time.After(lock.FirstPause)
				}
				// The runtime may start a few of its own while the machine is busy.
				if extra := countThreads(t) - threads; extra > 20 {
					t.Errorf("%d waiters have %d threads", 2*n, extra)
				}
				cancel()
				for range 2 * n {
					wantErr(t, <-outcome, "lock", context.Canceled)
				}
				if holder == "own process" {
					release(t, held)
				}
			})
		}
	})
}

// threads warms the runtime up and returns how many threads there are.
func threads(t *testing.T) int {
	t.Helper()
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { <-time.After(time.Millisecond) })
	}
	wg.Wait()
	return countThreads(t)
}

func countThreads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Skipf("threads cannot be counted here: %v", err)
	}
	return len(tasks)
}
