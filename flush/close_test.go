package flush_test

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/flush"
)

func TestCloseFlushesWhatWaitsThenRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, gate := gated()
		c := flush.NewCommitter(target, flush.Options{})
		running := c.Commit(0, 1)
		synctest.Wait()
		waiting := c.Commit(1, 1)
		closed := make(chan error)
		for range 2 {
			go func() { closed <- c.Close(t.Context()) }()
		}
		synctest.Wait()
		if err := c.Commit(2, 1).Err(); err != flush.ErrClosed || !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Commit while closing: %v, want ErrClosed", err)
		}
		gate <- nil
		synctest.Wait()
		select {
		case err := <-closed:
			t.Fatalf("Close returned %v before the last batch was over", err)
		default:
		}
		gate <- nil
		for range 2 {
			if err := <-closed; err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		if !isDone(running) || !isDone(waiting) || waiting.Err() != nil {
			t.Errorf("running done %v, waiting done %v, %v", isDone(running), isDone(waiting), waiting.Err())
		}
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("third Close: %v", err)
		}
		if err := c.Flush(t.Context(), 0, 1); err != flush.ErrClosed {
			t.Errorf("Flush after Close: %v, want ErrClosed", err)
		}
		if s := c.Stats(); s.Refused != 2 || s.Requests != 2 {
			t.Errorf("stats %+v, want 2 requests, 2 refused", s)
		}
	})
}

func TestCloseGivesUpWithItsContextAndTheRestCompletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, gate := gated()
		c := flush.NewCommitter(target, flush.Options{})
		c.Commit(0, 1)
		synctest.Wait()
		waiting := c.Commit(1, 1)
		cause := errors.New("shutdown takes too long")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		if err := c.Close(ctx); err != cause {
			t.Errorf("Close: %v, want the cause", err)
		}
		gate <- nil
		gate <- nil
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if !isDone(waiting) || waiting.Err() != nil {
			t.Errorf("what was waiting: done %v, %v", isDone(waiting), waiting.Err())
		}
		for range 50 { // select chooses at random
			if err := c.Close(ctx); err != nil {
				t.Fatalf("Close with both done: %v, want the outcome", err)
			}
		}
	})
}

func TestCloseReportsTheFailureItWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, gate := gated()
		c := flush.NewCommitter(target, flush.Options{})
		c.Commit(0, 1)
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- c.Close(t.Context()) }()
		synctest.Wait() // the failure counts once Close waits for it
		gate <- errDisk
		if err := <-closed; err != errDisk {
			t.Errorf("Close: %v, want %v", err, errDisk)
		}
		if err := c.Close(t.Context()); err != errDisk {
			t.Errorf("second Close: %v, want %v", err, errDisk)
		}
	})
}

func TestCloseWaitsForCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := flush.NewCommitter(&recorder{}, flush.Options{})
		var called atomic.Bool
		b := c.Commit(0, 1)
		b.OnDone(func(error) {
			<-time.After(time.Second)
			called.Store(true)
		})
		if err := c.Close(t.Context()); err != nil || !called.Load() {
			t.Errorf("Close %v, callback over %v; want nil, true", err, called.Load())
		}
	})
}

func TestCloseRacesWithRequests(t *testing.T) {
	for _, e := range executors {
		t.Run(e.name, func(t *testing.T) {
			for range 200 {
				target := &recorder{}
				var over atomic.Bool
				target.flush = func(int, rng) error {
					if over.Load() {
						t.Error("a call of the target after Close returned")
					}
					return nil
				}
				c := flush.NewCommitter(target, flush.Options{Execute: e.execute})
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() {
						for {
							runtime.Gosched() // nobody is preempted in wasm: Close has to get its turn
							if err := c.Flush(t.Context(), 0, 1); err == flush.ErrClosed {
								return
							} else if err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				for range 2 {
					wg.Go(func() {
						if err := c.Close(t.Context()); err != nil {
							t.Error(err)
						}
						over.Store(true)
					})
				}
				wg.Wait()
			}
		})
	}
}
