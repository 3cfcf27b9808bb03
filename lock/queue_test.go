package lock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/lock"
)

// A log collects what happened, in order.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, s)
}

func (l *log) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := strings.Join(l.lines, " ")
	l.lines = nil
	return s
}

// queue has each of modes ("s" or "x") wait for a lock of its own, in order.
// Each outcome goes to the log, as its number alone when it is granted.
func queue(t *testing.T, k kind, f func() *os.File, modes string, events *log) []*lock.Lock {
	t.Helper()
	locks := make([]*lock.Lock, len(modes))
	for i, c := range modes {
		locks[i] = k.lock(f(), int64(i))
		locks[i].AcquireFunc(t.Context(), modeOf(c), func(err error) {
			if err != nil {
				events.add(fmt.Sprint(i, " ", err))
			} else {
				events.add(fmt.Sprint(i))
			}
		})
	}
	return locks
}

func modeOf(c rune) lock.Mode {
	if c == 's' {
		return lock.Shared
	}
	return lock.Exclusive
}

// TestFirstComeFirstServed: the order of grants when each group that holds the
// lock releases it. No request overtakes, and adjacent readers are granted
// together.
func TestFirstComeFirstServed(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		for _, files := range []string{"one file", "own files"} {
			for _, tt := range []struct {
				holder lock.Mode
				modes  string
				want   []string // a line per release of all that hold
			}{
				{lock.Exclusive, "xxx", []string{"", "0", "1", "2"}},
				{lock.Exclusive, "sss", []string{"", "0 1 2"}},
				{lock.Exclusive, "ssxss", []string{"", "0 1", "2", "3 4"}},
				{lock.Exclusive, "xssxx", []string{"", "0", "1 2", "3", "4"}},
				{lock.Shared, "ss", []string{"0 1"}},
				{lock.Shared, "sxss", []string{"0", "1", "2 3"}},
				{lock.Shared, "xsxs", []string{"", "0", "1", "2", "3"}},
			} {
				t.Run(fmt.Sprintf("%s/%v,%s", files, tt.holder, tt.modes), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						name := tempFile(t)
						f := open(t, name)
						next := func() *os.File {
							if files == "own files" {
								return open(t, name)
							}
							return f
						}
						var events log
						holder := k.lock(f, 0)
						try(t, holder, tt.holder)
						locks := append(queue(t, k, next, tt.modes, &events), holder)
						for step, want := range tt.want {
							if got := events.take(); got != want {
								t.Errorf("step %d: granted %q, want %q", step, got, want)
							}
							for _, l := range holders(locks) {
								release(t, l)
							}
						}
						if rest := events.take(); rest != "" || len(holders(locks)) != 0 {
							t.Errorf("at the end %q are granted, and %d hold", rest, len(holders(locks)))
						}
					})
				})
			}
		}
	})
}

func holders(locks []*lock.Lock) (held []*lock.Lock) {
	for _, l := range locks {
		if _, ok := l.Held(); ok {
			held = append(held, l)
		}
	}
	return held
}

func TestAcquireWithContextThatIsDone(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		l := k.lock(open(t, tempFile(t)), 0)
		cause := errors.New("no more time")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		wantErr(t, l.Acquire(ctx, lock.Exclusive), "lock", cause)
		calls := 0
		l.AcquireFunc(ctx, lock.Exclusive, func(err error) {
			calls++
			wantErr(t, err, "lock", cause)
		})
		if calls != 1 {
			t.Errorf("done called %d times, want 1", calls)
		}
		wantHeld(t, l, 0)
	})
}

// TestCancelLeavesNothingBehind: a request that is given up, wherever in the
// queue, is as if it had never been made.
func TestCancelLeavesNothingBehind(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		name := tempFile(t)
		f := open(t, name)
		var events log
		cause := errors.New("given up")
		holder := k.lock(f, 0)
		try(t, holder, lock.Shared)
		ctx, cancel := context.WithCancelCause(t.Context())
		blocking, called := k.lock(f, 1), k.lock(f, 2)
		outcome := make(chan error, 1)
		go func() { outcome <- blocking.Acquire(ctx, lock.Exclusive) }()
		synctest.Wait()
		called.AcquireFunc(ctx, lock.Exclusive, func(err error) {
			wantErr(t, err, "lock", cause)
			events.add("gave up")
		})
		readers := queue(t, k, func() *os.File { return f }, "ss", &events)
		if got := events.take(); got != "" {
			t.Errorf("before: %q", got)
		}
		cancel(cause)
		wantErr(t, <-outcome, "lock", cause)
		synctest.Wait()
		if got := events.take(); !strings.Contains(got, "gave up") || !strings.Contains(got, "0 1") {
			t.Errorf("the readers behind were not let go: %q", got)
		}
		for _, l := range append(readers, holder) {
			release(t, l)
		}
		wantHeld(t, blocking, 0)
		wantHeld(t, called, 0)
		out := stranger(t, name)
		if err := k.outsider(out, sys.LockExclusive); err != nil {
			t.Errorf("the system still has a lock: %v", err)
		}
	})
}

// TestNoGrantAfterCancel: a release that comes after the context is done, but
// before any goroutine has run, must not grant: the caller may already act as
// if it had given up.
func TestNoGrantAfterCancel(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		f := open(t, tempFile(t))
		holder, l := k.lock(f, 0), k.lock(f, 1)
		for range 100 {
			try(t, holder, lock.Exclusive)
			ctx, cancel := context.WithCancel(t.Context())
			outcome := make(chan error, 1)
			l.AcquireFunc(ctx, lock.Exclusive, func(err error) { outcome <- err })
			cancel()
			release(t, holder)
			if err := <-outcome; !errors.Is(err, context.Canceled) {
				t.Fatalf("outcome %v, want %v", err, context.Canceled)
			}
			wantHeld(t, l, 0)
		}
	})
}

// TestAcquireFuncMayUseTheLock: done is called without any lock of the package,
// so that it may release.
func TestAcquireFuncMayUseTheLock(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		f := open(t, tempFile(t))
		holder := k.lock(f, 0)
		try(t, holder, lock.Exclusive)
		const n = 1000
		calls := 0
		for i := range int64(n) {
			l := k.lock(f, i%7)
			l.AcquireFunc(t.Context(), lock.Exclusive, func(err error) {
				if err != nil {
					t.Errorf("outcome %v", err)
				}
				calls++
				release(t, l)
			})
		}
		release(t, holder)
		if calls != n {
			t.Errorf("%d calls of done, want %d", calls, n)
		}
	})
}

// TestPanicInDone: it reaches the releaser, and the requests granted with the
// one that panics receive their outcome.
func TestPanicInDone(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		f := open(t, tempFile(t))
		var events log
		holder, bad := k.lock(f, 0), k.lock(f, 1)
		try(t, holder, lock.Exclusive)
		bad.AcquireFunc(t.Context(), lock.Shared, func(error) { panic("bad") })
		others := queue(t, k, func() *os.File { return f }, "ss", &events)
		func() {
			defer func() {
				if v := recover(); v != "bad" {
					t.Errorf("recovered %v", v)
				}
			}()
			holder.Release()
		}()
		if got := events.take(); got != "0 1" {
			t.Errorf("the outcomes of the others are %q", got)
		}
		for _, l := range append(others, bad) {
			release(t, l)
		}
	})
}

// TestReleaseThatMeetsACanceledRequest: a release that finds a request whose
// context is done, before that has had its cancellation run, also grants what
// waited behind that request for bytes that the release has nothing to do with.
func TestReleaseThatMeetsACanceledRequest(t *testing.T) {
	kinds[1].require(t)
	synctest.Test(t, func(t *testing.T) {
		f := open(t, tempFile(t))
		left, both, right := lock.New(f).Range(0, 5), lock.New(f).Range(0, 10), lock.New(f).Range(5, 5)
		try(t, left, lock.Exclusive)
		ctx, cancel := context.WithCancel(t.Context())
		var err error
		both.AcquireFunc(ctx, lock.Exclusive, func(e error) { err = e })
		behind := start(t, right, lock.Shared)
		wantWaiting(t, behind)
		cancel()
		release(t, left)
		synctest.Wait()
		wantErr(t, err, "lock", context.Canceled)
		wantOutcome(t, behind, nil)
		release(t, right)
	})
}

// TestManyRequestsQueuedBeforeOne: they keep their order however many there
// are.
func TestManyRequestsQueuedBeforeOne(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		f := open(t, tempFile(t))
		owner, stranger := k.lock(f, 0), k.lock(f, 1)
		try(t, owner, lock.Shared)
		first := owner.Nested()
		try(t, first, lock.Exclusive)
		waiting := start(t, stranger, lock.Exclusive) // for the owner
		var order []int
		for i := range 100 {
			l := owner.Nested()
			l.AcquireFunc(t.Context(), lock.Exclusive, func(err error) {
				order = append(order, i)
				release(t, l)
			})
		}
		release(t, first)
		if len(order) != 100 || !slices.IsSorted(order) {
			t.Errorf("granted in the order %v", order)
		}
		wantWaiting(t, waiting)
		release(t, owner)
		wantOutcome(t, waiting, nil)
		release(t, stranger)
	})
}
