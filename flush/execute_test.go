package flush_test

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/fmmap-go/fmmap/flush"
)

// executors are the ways of running batches that behaviour must not depend on.
var executors = []struct {
	name    string
	execute func(func(error)) error
}{
	{"own goroutine", nil},
	{"goroutine each", spawn},
	{"inline", inline},
}

var errFull = errors.New("queue full")

func TestEachBatchQueuesBehindThoseOfOthers(t *testing.T) {
	q := &queue{}
	var order []string
	target := func(name string) *recorder {
		return &recorder{flush: func(int, rng) error { order = append(order, name); return nil }}
	}
	a := flush.NewCommitter(target("a"), flush.Options{Execute: q.execute})
	b := flush.NewCommitter(target("b"), flush.Options{Execute: q.execute})
	// While a's batch runs, another request for a comes, after one for b.
	first := a.Commit(0, 1)
	first.OnDone(func(error) { _ = a.Commit(0, 1) })
	b.Commit(0, 1).OnDone(func(error) { _ = b.Commit(0, 1) })
	for q.runOne() {
	}
	if want := []string{"a", "b", "a", "b"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
}

func TestARefusedFirstBatchFailsWithTheRefusal(t *testing.T) {
	q := &queue{err: errFull}
	target := &recorder{}
	c := flush.NewCommitter(target, flush.Options{Execute: q.execute})
	if b := c.Commit(0, 1); !isDone(b) || b.Err() != errFull {
		t.Fatalf("done %v, %v; want true, %v", isDone(b), b.Err(), errFull)
	}
	if err := c.Flush(t.Context(), 0, 1); err != errFull {
		t.Errorf("Flush: %v, want %v", err, errFull)
	}
	q.refuse(nil)
	b := c.Commit(0, 1)
	q.runOne()
	if err := b.Wait(t.Context()); err != nil {
		t.Errorf("after the refusals: %v", err)
	}
	if n := len(target.seen()); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
}

func TestARefusedRequestThatRetriesFromItsCallbackIsServedInTheEnd(t *testing.T) {
	refusals := 0
	c := flush.NewCommitter(&recorder{}, flush.Options{Execute: func(task func(error)) error {
		if refusals++; refusals <= 3 {
			return errFull
		}
		return inline(task)
	}})
	var outcomes []error
	var again func(err error)
	again = func(err error) {
		if outcomes = append(outcomes, err); err != nil {
			c.Commit(0, 1).OnDone(again)
		}
	}
	c.Commit(0, 1).OnDone(again)
	if want := []error{errFull, errFull, errFull, nil}; !slices.Equal(outcomes, want) {
		t.Errorf("outcomes %v, want %v", outcomes, want)
	}
}

func TestABatchRefusedWhileOneRunsIsRunByThatRunner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queue{}
		target, gate := gated()
		c := flush.NewCommitter(target, flush.Options{Execute: q.execute})
		first := c.Commit(0, 1)
		go q.runOne()
		synctest.Wait()
		second := c.Commit(1, 1)
		q.refuse(errFull)
		gate <- nil
		synctest.Wait()
		third := c.Commit(2, 1) // while the refused one runs
		gate <- nil
		gate <- nil
		for i, b := range []*flush.Batch{first, second, third} {
			if err := b.Wait(t.Context()); err != nil {
				t.Errorf("batch %d: %v", i+1, err)
			}
		}
		if n := len(target.seen()); n != 3 {
			t.Errorf("%d calls, want 3", n)
		}
	})
}

func TestAPanicOfExecuteContinuesAndTheBatchIsServed(t *testing.T) {
	panics := true
	c := flush.NewCommitter(&recorder{}, flush.Options{Execute: func(task func(error)) error {
		if panics {
			panics = false
			panic(errFull)
		}
		return spawn(task)
	}})
	func() {
		defer func() {
			if v := recover(); v != errFull {
				t.Errorf("recovered %v, want %v", v, errFull)
			}
		}()
		_ = c.Commit(0, 1)
		t.Error("Commit returned")
	}()
	if err := c.Flush(t.Context(), 0, 1); err != nil {
		t.Errorf("the next request: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if s := c.Stats(); s.Requests != 2 || s.Failed != 0 {
		t.Errorf("stats %+v, want 2 requests served", s)
	}
}

func TestInlineExecutorsDoNotNest(t *testing.T) {
	var depth, deepest int
	var c *flush.Committer
	target := &recorder{flush: func(call int, _ rng) error {
		depth++
		deepest = max(deepest, depth)
		if call < 100 {
			_ = c.Commit(0, 1) // gathers: this call is running
		}
		depth--
		return nil
	}}
	var frames int
	c = flush.NewCommitter(target, flush.Options{Execute: func(task func(error)) error {
		frames = max(frames, runtime.Callers(0, make([]uintptr, 1000)))
		return inline(task)
	}})
	_ = c.Commit(0, 1)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(target.seen()); n != 100 || deepest != 1 {
		t.Errorf("%d calls, %d deep; want 100, 1", n, deepest)
	}
	if frames > 40 {
		t.Errorf("Execute was called %d frames deep", frames)
	}
}

func TestATargetThatPanicsFailsItsBatchOnly(t *testing.T) {
	for _, e := range executors {
		for _, how := range []struct {
			name   string
			damage func()
			check  func(error) bool
		}{
			{"panic", func() { panic("boom") }, func(err error) bool {
				var p *flush.PanicError
				return errors.As(err, &p) && p.Value == "boom" && strings.Contains(string(p.Stack), "execute_test.go")
			}},
			{"panic with an error", func() { panic(errDisk) }, func(err error) bool { return errors.Is(err, errDisk) }},
		} {
			t.Run(e.name+"/"+how.name, func(t *testing.T) {
				c := flush.NewCommitter(&recorder{flush: func(call int, _ rng) error {
					if call%2 == 1 {
						how.damage()
					}
					return nil
				}}, flush.Options{Execute: e.execute})
				for range 3 {
					if err := c.Flush(t.Context(), 0, 1); !how.check(err) {
						t.Fatalf("got %v", err)
					}
					if err := c.Flush(t.Context(), 0, 1); err != nil {
						t.Fatalf("next batch: %v", err)
					}
				}
			})
		}
	}
}

func TestGoexitOfATargetFailsItsBatchOnly(t *testing.T) {
	for _, e := range executors[:2] { // inline would end the test itself
		t.Run(e.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				c := flush.NewCommitter(&recorder{flush: func(call int, _ rng) error {
					<-gate
					if call == 1 {
						runtime.Goexit()
					}
					return nil
				}}, flush.Options{Execute: e.execute})
				first := c.Commit(0, 1)
				synctest.Wait()
				second := c.Commit(0, 1)
				close(gate)
				if err := first.Wait(t.Context()); err != flush.ErrGoexit {
					t.Errorf("first: %v, want ErrGoexit", err)
				}
				if err := second.Wait(t.Context()); err != nil {
					t.Errorf("second: %v", err)
				}
			})
		})
	}
}

func TestBatchesAfterAPanicOfACallbackAreRun(t *testing.T) {
	q := &queue{}
	c := flush.NewCommitter(&recorder{}, flush.Options{Execute: q.execute})
	b := c.Commit(0, 1)
	var after *flush.Batch
	var later atomic.Bool
	b.OnDone(func(error) { after = c.Commit(0, 1); panic("callback") })
	b.OnDone(func(error) { later.Store(true) })
	func() {
		defer func() {
			if v := recover(); v != "callback" {
				t.Errorf("recovered %v, want the callback's panic", v)
			}
		}()
		q.runOne()
	}()
	if !later.Load() {
		t.Error("the callback after the one that panicked was not called")
	}
	closed := make(chan error)
	go func() { closed <- c.Close() }()
	for {
		select {
		case err := <-closed:
			if err != nil || after.Err() != nil {
				t.Errorf("Close %v, the batch after %v", err, after.Err())
			}
			return
		default:
			q.runOne()
			runtime.Gosched()
		}
	}
}

func TestPanicErrorIsOneLine(t *testing.T) {
	err := &flush.PanicError{Value: "two\nlines", Stack: []byte("goroutine 1:\nmain()")}
	if got, want := err.Error(), "panic: two lines"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestADroppedTaskFailsItsBatch(t *testing.T) {
	q := &queue{}
	target := &recorder{}
	c := flush.NewCommitter(target, flush.Options{Execute: q.execute})
	b := c.Commit(0, 1)
	b.OnDone(func(error) { _ = c.Commit(2, 1) }) // forms while that one ends
	q.dropOne(errFull)
	if !isDone(b) || b.Err() != errFull {
		t.Fatalf("done %v, %v; want true, %v", isDone(b), b.Err(), errFull)
	}
	next := c.Commit(1, 1)
	q.runOne()
	if err := next.Wait(t.Context()); err != nil {
		t.Errorf("after the drop: %v", err)
	}
	if want := []rng{{1, 2}}; !slices.Equal(target.seen(), want) {
		t.Errorf("calls %v, want %v", target.seen(), want)
	}
}

// TestATaskCalledOnceMoreDoesNothing: an executor with a bug that calls a task
// twice runs no batch that has not been sealed for it.
func TestATaskCalledOnceMoreDoesNothing(t *testing.T) {
	q := &queue{}
	c := flush.NewCommitter(&recorder{}, flush.Options{Execute: q.execute})
	b := c.Commit(0, 1)
	task := q.tasks[0]
	q.runOne()
	task(nil)
	task(errFull)
	if b.Err() != nil {
		t.Errorf("got %v", b.Err())
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}
