package flush_test

import (
	"context"
	"slices"
	"testing"

	"github.com/fmmap-go/fmmap/flush"
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
