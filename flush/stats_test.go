package flush_test

import (
	"encoding/json"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/latency"
)

func TestStatsCountRequestsAndBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := &recorder{flush: func(call int, _ rng) error {
			<-time.After(10 * time.Millisecond)
			if call == 3 {
				return errDisk
			}
			return nil
		}}
		var wait, run latency.Recorder
		c := flush.NewCommitter(target, flush.Options{Wait: &wait, Run: &run})
		if s := c.Stats(); s != (flush.Stats{}) {
			t.Errorf("stats of a new committer %+v, want none", s)
		}
		_ = c.Commit(0, 100)
		synctest.Wait()
		for i := range int64(4) {
			_ = c.Commit(1000*i, 10)
		}
		_ = c.Commit(-1, 1)
		if s := c.Stats(); s.Requests != 5 || s.Waiting != 5 || s.Batches != 0 || s.Refused != 1 {
			t.Errorf("while one runs: %+v", s)
		}
		<-time.After(30 * time.Millisecond)
		synctest.Wait()
		if err := c.Flush(t.Context(), 0, math.MaxInt64); err != errDisk {
			t.Fatal(err)
		}
		want := flush.Stats{
			Requests: 6, Refused: 1, Batches: 3, Failed: 1, Bytes: math.MaxInt64,
			LargestBatch: 4, MeanBatch: 2,
			LongestWait: 20 * time.Millisecond, LastError: errDisk.Error(),
		}
		want.Wait.Add(10*time.Millisecond, 2)
		want.Wait.Add(20*time.Millisecond, 4) // of which three came with a batch in flight
		want.Run.Add(10*time.Millisecond, 3)
		if s := c.Stats(); s != want {
			t.Errorf("got  %+v\nwant %+v", s, want)
		}
		if wait.Histogram() != want.Wait || run.Histogram() != want.Run {
			t.Errorf("the recorders have %+v and %+v", wait.Histogram(), run.Histogram())
		}
	})
}

func TestStatsAreReadableAtAnyTimeAndMarshal(t *testing.T) {
	c := flush.NewCommitter(&recorder{}, flush.Options{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if err := c.Flush(t.Context(), 0, 1); err != nil {
					t.Error(err)
				}
				if s := c.Stats(); s.Waiting < 0 || s.Requests < s.Batches {
					t.Errorf("stats %+v do not add up", s)
				}
			}
		})
	}
	wg.Wait()
	text, err := json.Marshal(c.Stats())
	if err != nil {
		t.Fatal(err)
	}
	var back flush.Stats
	if err := json.Unmarshal(text, &back); err != nil || back != c.Stats() {
		t.Errorf("%s came back as %+v, %v", text, back, err)
	}
}

// A batch that was never run counts as a wait, and not as a run.
func TestBatchesThatWereNotRunAreNotTimed(t *testing.T) {
	c := flush.NewCommitter(&recorder{}, flush.Options{Execute: func(func(error)) error { return errDisk }})
	if err := c.Flush(t.Context(), 0, 1); err != errDisk {
		t.Fatal(err)
	}
	if s := c.Stats(); s.Failed != 1 || s.Wait.Count() != 1 || s.Run.Count() != 0 {
		t.Errorf("%d failed, %d waits, %d runs, want 1, 1, 0", s.Failed, s.Wait.Count(), s.Run.Count())
	}
}
