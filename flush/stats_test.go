package flush_test

import (
	"encoding/json"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/flush"
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
		c := flush.NewCommitter(target, flush.Options{})
		if s := c.Stats(); s != (flush.Stats{}) {
			t.Errorf("stats of a new committer %+v, want none", s)
		}
		c.Commit(0, 100)
		synctest.Wait()
		for i := range int64(4) {
			c.Commit(1000*i, 10)
		}
		c.Commit(-1, 1)
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
			LongestWait: 20 * time.Millisecond, WaitP50: 20 * time.Millisecond, WaitP90: 20 * time.Millisecond, WaitP99: 20 * time.Millisecond,
			LastError: errDisk.Error(),
		}
		if s := c.Stats(); s != want {
			t.Errorf("got  %+v\nwant %+v", s, want)
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
