package async_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// TestStress: eight submitters make futures with every outcome: values, errors,
// panics, Goexits, Cancels by other goroutines, contexts that end at any moment,
// waits that end early, combinations. Every future must resolve with one of the
// outcomes it may have, and the pool must close. A lost wake-up shows as a hang.
func TestStress(t *testing.T) {
	n := 2500 // a submitter
	if testing.Short() {
		n = 500
	}
	for _, b := range backends {
		for _, width := range []int{1, 2, 5} {
			for _, procs := range []int{1, runtime.GOMAXPROCS(0)} {
				t.Run(fmt.Sprintf("%s, width %d, GOMAXPROCS %d", b.name, width, procs), func(t *testing.T) {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
					stress(t, b.make(), width, n/2)
				})
			}
		}
	}
}

func stress(t *testing.T, e async.Executor, width, n int) {
	seed := testutil.Seed(t)
	p, err := async.NewPool(short(e, width, 32))
	if err != nil {
		t.Fatal(err)
	}
	var ran atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		wg.Go(func() {
			s := &stresser{t: t, p: p, rng: rng, ran: &ran}
			for range n {
				s.step()
			}
			for _, f := range s.open {
				s.check(f)
			}
			for _, cancel := range s.cancels {
				cancel(nil)
			}
		})
	}
	wg.Wait()
	if err := p.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	s := p.Stats().Short
	if s.Queued != 0 || s.Running != 0 || s.Waiting != 0 {
		t.Errorf("after Close: %+v", s)
	}
	if got, want := int64(s.Done), ran.Load(); got != want {
		t.Errorf("done %d, but %d ran", got, want)
	}
}

// A stresser is one submitter.
type stresser struct {
	t    *testing.T
	p    *async.Pool
	rng  *rand.Rand
	ran  *atomic.Int64
	open []*async.Future[int]

	cancels []context.CancelCauseFunc
}

// step makes a future with a random fate, and checks an older one.
func (s *stresser) step() {
	ctx, cancel := context.WithCancelCause(context.Background())
	s.cancels = append(s.cancels, cancel)
	if s.rng.IntN(4) == 0 {
		ctx = context.Background()
	}
	fate := s.rng.IntN(8)
	task := func(ctx context.Context) (int, error) {
		s.ran.Add(1)
		switch fate {
		case 0:
			return 0, errBoom
		case 1:
			panic(errBoom)
		case 2:
			runtime.Goexit()
		case 3:
			runtime.Gosched()
		case 4:
			_ = ctx.Done()
		}
		return 1, nil
	}
	var f *async.Future[int]
	if s.rng.IntN(3) == 0 {
		f = async.GoWait(ctx, s.p, task)
	} else {
		f = async.Go(ctx, s.p, task)
	}
	switch s.rng.IntN(8) {
	case 0:
		f.Cancel(errBoom)
	case 1:
		go f.Cancel(nil)
	case 2:
		cancel(errBoom)
	case 3:
		time.AfterFunc(time.Duration(s.rng.IntN(100))*time.Microsecond, func() { cancel(errBoom) })
	case 4:
		s.check(async.Then(ctx, s.p, f, func(_ context.Context, v int) (int, error) { s.ran.Add(1); return v, nil }))
	case 5:
		s.check(async.Any(f, async.Failed[int](errBoom)))
	case 6:
		short, stop := context.WithTimeout(context.Background(), time.Duration(s.rng.IntN(50))*time.Microsecond)
		_, _ = f.Await(short)
		stop()
	}
	s.open = append(s.open, f)
	if len(s.open) > 16 {
		i := s.rng.IntN(len(s.open))
		s.check(s.open[i])
		s.open[i] = s.open[len(s.open)-1]
		s.open = s.open[:len(s.open)-1]
	}
}

// check waits for f, by one of the methods, and checks its outcome.
func (s *stresser) check(f *async.Future[int]) {
	switch s.rng.IntN(3) {
	case 0:
		_ = f.Wait()
	case 1:
		<-f.Done()
	}
	v, err := f.Await(context.Background())
	switch {
	case err == nil && v == 1:
	case errors.Is(err, async.ErrOverloaded), errors.Is(err, errBoom), err == async.ErrGoexit, err == context.Canceled:
	default:
		s.t.Errorf("outcome (%d, %v)", v, err)
	}
}
