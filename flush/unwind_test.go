package flush_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/fmmap-go/fmmap/flush"
)

// A batch that Execute refuses is run by the goroutine that ran the one before.
// If a panic or Goexit unwinds that goroutine, later batches must find a
// runner.
func TestBatchesAfterAnUnwoundRunnerAreRun(t *testing.T) {
	for _, tt := range []struct {
		name   string
		target func(call int)
		done   func()
		want   error // of the refused batch
	}{
		{"by Goexit of the target", func(call int) {
			if call == 2 {
				runtime.Goexit()
			}
		}, func() {}, flush.ErrGoexit},
		{"by Goexit of a callback", func(int) {}, runtime.Goexit, nil},
		{"by a panic of a callback", func(int) {}, func() { panic("callback") }, nil},
	} {
		for _, more := range []bool{false, true} { // whether another batch has formed by then
			t.Run(fmt.Sprintf("%s/more=%v", tt.name, more), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testUnwound(t, tt.target, tt.done, tt.want, more) })
			})
		}
	}
}

func testUnwound(t *testing.T, target func(call int), done func(), want error, more bool) {
	q := &queue{}
	gate := make(chan struct{})
	c := flush.NewCommitter(&recorder{flush: func(call int, _ rng) error {
		<-gate
		target(call)
		return nil
	}}, flush.Options{Execute: q.execute})
	_ = c.Commit(0, 1)
	go func() {
		defer func() { recover() }()
		q.runOne()
	}()
	synctest.Wait()
	refused := c.Commit(0, 1)
	refused.OnDone(func(error) { done() })
	q.refuse(errFull)
	gate <- struct{}{}
	synctest.Wait() // the refused batch runs
	q.refuse(nil)
	var after []*flush.Batch
	if more {
		after = append(after, c.Commit(0, 1))
	}
	close(gate)
	synctest.Wait()
	if !isDone(refused) || refused.Err() != want {
		t.Errorf("refused batch: done %v, %v; want %v", isDone(refused), refused.Err(), want)
	}
	for range 2 { // the second one gathers while the first one runs
		after = append(after, c.Commit(0, 1))
		for q.runOne() {
			synctest.Wait()
		}
	}
	after = append(after, c.Commit(0, 1), c.CommitAll())
	for q.runOne() {
		synctest.Wait()
	}
	for i, b := range after {
		if !isDone(b) || b.Err() != nil {
			t.Fatalf("batch %d after it: done %v, %v", i, isDone(b), b.Err())
		}
	}
}

// The same where the next batch is passed to Execute again.
func TestResubmittingAfterAnUnwoundRunner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{}
		target, gate := gated()
		c := flush.NewCommitter(target, flush.Options{Execute: q.execute})
		_ = c.Commit(0, 1)
		go func() {
			defer func() { recover() }()
			q.runOne()
		}()
		synctest.Wait()
		c.Commit(0, 1).OnDone(func(error) { panic("callback") })
		q.refuse(errFull)
		gate <- nil
		gate <- nil
		synctest.Wait()
		q.refuse(nil)
		_ = c.Commit(0, 1)
		go q.runOne()
		synctest.Wait()
		next := c.Commit(0, 1) // forms while that one runs: it has to be submitted again
		gate <- nil
		synctest.Wait()
		go q.runOne()
		synctest.Wait()
		select {
		case gate <- nil:
		default:
			t.Fatal("the next batch is not run")
		}
		if err := next.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Where Execute runs the task before it returns, a panic of a callback passes
// through it, and is no refusal.
func TestAPanicOfACallbackInlineContinues(t *testing.T) {
	var c *flush.Committer
	c = flush.NewCommitter(&recorder{flush: func(call int, _ rng) error {
		if call == 1 {
			c.Commit(0, 1).OnDone(func(error) { panic("callback") })
		}
		return nil
	}}, flush.Options{Execute: inline})
	func() {
		defer func() {
			if v := recover(); v != "callback" {
				t.Errorf("recovered %v, want the callback's panic", v)
			}
		}()
		_ = c.Commit(0, 1)
	}()
	if err := c.Flush(t.Context(), 0, 1); err != nil {
		t.Errorf("after it: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
