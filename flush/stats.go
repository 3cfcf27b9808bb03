package flush

import (
	"math"
	"time"

	"github.com/fmmap-go/fmmap/latency"
)

// Stats describe what a [Committer] has done since it was made. They marshal to
// JSON as they are, so that expvar.Func can publish them.
type Stats struct {
	Requests int64 `json:"requests"` // requests that joined a batch, those not yet served included
	Refused  int64 `json:"refused"`  // requests that joined none: bad range, closed, target failed for good
	Waiting  int64 `json:"waiting"`  // requests that wait now, in the running and the forming batch
	Batches  int64 `json:"batches"`  // batches that are over
	Failed   int64 `json:"failed"`   // of these, how many failed
	Bytes    int64 `json:"bytes"`    // bytes that the calls of the target spanned, clean ones included

	LargestBatch int64   `json:"largest_batch"` // most requests in one batch
	MeanBatch    float64 `json:"mean_batch"`    // requests per batch

	// Wait counts the requests that were served by how long they waited for the
	// end of their batch: every member as long as the first of its batch.
	// LongestWait is the longest of them, exactly.
	Wait        latency.Histogram `json:"wait"`
	LongestWait time.Duration     `json:"longest_wait_ns"`

	// Run counts the batches that were run by how long the calls of the target
	// took: what the device takes.
	Run latency.Histogram `json:"run"`

	LastError string `json:"last_error,omitempty"` // of the latest batch that failed
}

// tally is what Stats are made from. It changes once per batch, not once per
// request: counting a joiner costs nothing and reads no clock.
type tally struct {
	requests int64 // served; stats adds those in batches not yet over
	refused  int64
	batches  int64
	failed   int64
	bytes    int64
	largest  int64
	longest  time.Duration
	waits    latency.Histogram
	runs     latency.Histogram
	lastErr  error

	allWaits, allRuns *latency.Recorder // Options.Wait and Options.Run; may be nil
}

// add counts a batch that was over at now, with the outcome err.
func (t *tally) add(b *Batch, now time.Time, err error) {
	t.requests += int64(b.members)
	t.batches++
	if err != nil {
		t.failed++
		t.lastErr = err
	}
	t.bytes += min(b.bytes, math.MaxInt64-t.bytes)
	t.largest = max(t.largest, int64(b.members))
	waited := now.Sub(b.born)
	t.longest = max(t.longest, waited)
	t.waits.Add(waited, uint64(b.members))
	if t.allWaits != nil {
		t.allWaits.Add(waited, uint64(b.members))
	}
	if !b.ran {
		return
	}
	t.runs.Add(b.took, 1)
	if t.allRuns != nil {
		t.allRuns.Add(b.took, 1)
	}
}

// stats returns t as Stats; waiting is the number of requests not yet served.
func (t *tally) stats(waiting int64) Stats {
	s := Stats{
		Requests:     t.requests + waiting,
		Refused:      t.refused,
		Waiting:      waiting,
		Batches:      t.batches,
		Failed:       t.failed,
		Bytes:        t.bytes,
		LargestBatch: t.largest,
		Wait:         t.waits,
		LongestWait:  t.longest,
		Run:          t.runs,
	}
	if t.batches > 0 {
		s.MeanBatch = float64(t.requests) / float64(t.batches)
	}
	if t.lastErr != nil {
		s.LastError = t.lastErr.Error()
	}
	return s
}
