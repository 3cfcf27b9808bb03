package flush_test

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"slices"
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
			go func() { closed <- c.Close() }()
		}
		synctest.Wait()
		if err := c.Commit(2, 1).Err(); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Commit while closing: %v, want fs.ErrClosed", err)
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
		if err := c.Close(); err != nil {
			t.Errorf("third Close: %v", err)
		}
		if err := c.Flush(t.Context(), 0, 1); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Flush after Close: %v, want fs.ErrClosed", err)
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
		_ = c.Commit(0, 1)
		synctest.Wait()
		waiting := c.Commit(1, 1)
		cause := errors.New("shutdown takes too long")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		if err := c.CloseContext(ctx); err != cause {
			t.Errorf("Close: %v, want the cause", err)
		}
		gate <- nil
		gate <- nil
		if err := c.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if !isDone(waiting) || waiting.Err() != nil {
			t.Errorf("what was waiting: done %v, %v", isDone(waiting), waiting.Err())
		}
		for range 50 { // select chooses at random
			if err := c.CloseContext(ctx); err != nil {
				t.Fatalf("Close with both done: %v, want the outcome", err)
			}
		}
	})
}

func TestCloseReportsTheFailureItWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, gate := gated()
		c := flush.NewCommitter(target, flush.Options{})
		_ = c.Commit(0, 1)
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- c.Close() }()
		synctest.Wait() // the failure counts once Close waits for it
		gate <- errDisk
		if err := <-closed; err != errDisk {
			t.Errorf("Close: %v, want %v", err, errDisk)
		}
		if err := c.Close(); err != errDisk {
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
		if err := c.Close(); err != nil || !called.Load() {
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
							runtime.Gosched() // no goroutine is preempted in wasm: Close has to run
							if err := c.Flush(t.Context(), 0, 1); errors.Is(err, fs.ErrClosed) {
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
						if err := c.Close(); err != nil {
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

func TestStartCloseReturnsAtOnceAndCallsDoneOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, gate := gated()
		c := flush.NewCommitter(target, flush.Options{})
		bg := flush.NewBackground(c, flush.Policy{})
		var outcomes []error
		done := func(err error) { outcomes = append(outcomes, err) }

		bg.StartClose(done) // flushes once more
		bg.StartClose(nil)
		c.StartClose(done)
		c.StartClose(done)
		c.StartClose(nil)
		synctest.Wait()
		if len(outcomes) != 0 {
			t.Fatalf("done was called with %v before the flush was over", outcomes)
		}
		gate <- errDisk
		synctest.Wait()
		if want := []error{errDisk, errDisk, errDisk}; !slices.Equal(outcomes, want) {
			t.Fatalf("outcomes %v, want %v", outcomes, want)
		}

		outcomes = nil
		bg.StartClose(done) // nothing is under way: at once, in the caller
		c.StartClose(done)
		if want := []error{errDisk, errDisk}; !slices.Equal(outcomes, want) {
			t.Errorf("outcomes when idle %v, want %v", outcomes, want)
		}
	})
}

func TestDoneOfACloseThatPanicsDoesNotKeepTheOthersWaiting(t *testing.T) {
	q := &queue{}
	c := flush.NewCommitter(&recorder{}, flush.Options{Execute: q.execute})
	_ = c.Commit(0, 1)
	called := false
	c.StartClose(func(error) { panic("done") })
	c.StartClose(func(error) { called = true })
	func() {
		defer func() { _ = recover() }()
		q.runOne()
	}()
	if !called {
		t.Error("the second done was not called")
	}
}
