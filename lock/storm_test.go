package lock_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

// A witness knows, without any lock of the package, what each worker believes
// to hold.
type witness struct {
	mu              sync.Mutex
	readers, writer int
	value           int // guarded only by the lock under test: a data race if two hold it that should not
}

func (w *witness) enter(t *testing.T, m lock.Mode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m == lock.Shared {
		w.readers++
	} else {
		w.writer++
	}
	if w.writer > 1 || w.writer == 1 && w.readers > 0 {
		t.Errorf("%d readers and %d writers at once", w.readers, w.writer)
	}
}

func (w *witness) leave(m lock.Mode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m == lock.Shared {
		w.readers--
	} else {
		w.writer--
	}
}

// use does what a holder does.
func (w *witness) use(m lock.Mode) {
	if m == lock.Exclusive {
		w.value++
	} else if w.value < 0 {
		panic("never")
	}
}

// TestCancellationStorm has many goroutines take, convert, give up and release
// at random, while another open file, which the package does not know of, comes
// and goes in the system. In the end nothing is held.
func TestCancellationStorm(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		name := tempFile(t)
		f := open(t, name)
		seed := testutil.Seed(t)
		const workers, rounds = 16, 150
		var w witness
		var wg sync.WaitGroup
		for i := range int64(workers) {
			file := f
			if i%2 == 1 {
				file = open(t, name)
			}
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			wg.Go(func() {
				for range rounds {
					stormRound(t, k, file, r, &w)
				}
			})
		}
		stop := make(chan struct{})
		intruder := make(chan struct{})
		out := stranger(t, name)
		go func() { // ends with stop
			defer close(intruder)
			for {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Microsecond):
				}
				if k.outsider(out, sys.LockExclusive) == nil {
					w.enter(t, lock.Exclusive)
					w.leave(lock.Exclusive)
					if err := k.outsider(out, sys.Unlocked); err != nil {
						t.Error(err)
					}
				}
			}
		}()
		wg.Wait()
		close(stop)
		<-intruder
		if err := k.outsider(out, sys.LockExclusive); err != nil {
			t.Errorf("the system still has a lock: %v", err)
		}
	})
}

func stormRound(t *testing.T, k kind, f *os.File, r *rand.Rand, w *witness) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(2000))*time.Microsecond)
	defer cancel()
	l, m := k.lock(f, r.Int64N(3)), lock.Shared
	if r.IntN(3) == 0 {
		m = lock.Exclusive
	}
	var err error
	switch r.IntN(3) {
	case 0:
		err = l.Try(m)
	case 1:
		err = l.Acquire(ctx, m)
	case 2:
		outcome := make(chan error)
		l.AcquireFunc(ctx, m, func(err error) { go func() { outcome <- err }() })
		err = <-outcome
	}
	if err != nil {
		if !errors.Is(err, lock.ErrLocked) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("taking: %v", err)
		}
		wantHeld(t, l, 0)
		return
	}
	w.enter(t, m)
	w.use(m)
	if m == lock.Shared && r.IntN(3) == 0 {
		w.leave(m)
		err = l.Acquire(ctx, lock.Exclusive)
		switch {
		case err == nil:
			m = lock.Exclusive
		case errors.Is(err, lock.ErrLost):
			wantHeld(t, l, 0)
			return
		case !errors.Is(err, lock.ErrDeadlock) && !errors.Is(err, context.DeadlineExceeded):
			t.Errorf("converting: %v", err)
		}
		w.enter(t, m)
		w.use(m)
	}
	w.leave(m)
	release(t, l)
}
