package flush_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/batchslot"
)

func TestErrIsNilUntilTheBatchIsOver(t *testing.T) {
	q := &queue{}
	c := flush.NewCommitter(failing(1, errDisk), flush.Options{Execute: q.execute})
	b := c.Commit(0, 1)
	if isDone(b) || b.Err() != nil {
		t.Errorf("forming: done %v, Err %v", isDone(b), b.Err())
	}
	q.runOne()
	if !isDone(b) || b.Err() != errDisk {
		t.Errorf("over: done %v, Err %v", isDone(b), b.Err())
	}
	if err := b.Wait(context.Background()); err != errDisk {
		t.Errorf("Wait: %v", err)
	}
}

func TestOnDoneRunsEachCallbackOnceInOrder(t *testing.T) {
	q := &queue{}
	c := flush.NewCommitter(failing(1, errDisk), flush.Options{Execute: q.execute})
	b := c.Commit(0, 1)
	var got []int
	note := func(i int) func(error) {
		return func(err error) {
			if !isDone(b) || err != errDisk {
				t.Errorf("callback %d: done %v, %v", i, isDone(b), err)
			}
			got = append(got, i)
		}
	}
	for i := range 3 {
		b.OnDone(note(i))
	}
	if len(got) != 0 {
		t.Fatalf("callbacks %v before the batch ran", got)
	}
	q.runOne()
	b.OnDone(note(3)) // at once
	if want := []int{0, 1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("callbacks %v, want %v", got, want)
	}
}

// A layer above makes one future per batch, which one callback resolves.
func TestASlotHoldsOneValuePerBatch(t *testing.T) {
	type future struct{ outcome chan error }
	var made atomic.Int64
	synctest.Test(t, func(t *testing.T) {
		target, gate := gated()
		c := flush.NewCommitter(target, flush.Options{})
		ask := func() *future {
			b := c.Commit(0, 1)
			return batchslot.Of(b).Get(func() any {
				made.Add(1)
				yield() // others come meanwhile
				f := &future{outcome: make(chan error, 1)}
				b.OnDone(func(err error) { f.outcome <- err })
				return f
			}).(*future)
		}
		first := ask()
		synctest.Wait()
		futures := make([]*future, 20)
		var wg sync.WaitGroup
		for i := range futures {
			wg.Go(func() { futures[i] = ask() })
		}
		wg.Wait()
		for i, f := range futures {
			if f != futures[0] || f == first {
				t.Errorf("future %d is not the one of the second batch", i)
			}
		}
		if made.Load() != 2 {
			t.Errorf("%d futures were made, want 2", made.Load())
		}
		gate <- nil
		gate <- errDisk
		if err := <-first.outcome; err != nil {
			t.Errorf("first: %v", err)
		}
		if err := <-futures[0].outcome; err != errDisk {
			t.Errorf("second: %v, want %v", err, errDisk)
		}
	})
}

func TestABatchThatIsOverHasASlot(t *testing.T) {
	c := flush.NewCommitter(&recorder{}, flush.Options{})
	b := c.Commit(-1, 1)
	v := batchslot.Of(b).Get(func() any {
		var outcome error
		b.OnDone(func(err error) { outcome = err })
		return outcome
	})
	if v != b.Err() {
		t.Errorf("got %v, want %v", v, b.Err())
	}
}

func TestASlotStaysEmptyWhenNewValuePanics(t *testing.T) {
	c := flush.NewCommitter(&recorder{}, flush.Options{})
	b := c.Commit(0, 0)
	func() {
		defer func() { recover() }()
		batchslot.Of(b).Get(func() any { panic("make") })
	}()
	if v := batchslot.Of(b).Get(func() any { return 7 }); v != 7 {
		t.Errorf("got %v, want 7", v)
	}
}
