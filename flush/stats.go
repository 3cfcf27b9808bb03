package flush

import (
	"math"
	"math/bits"
	"time"
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

	// Waiting times, from a request to the end of its batch. LongestWait is
	// exact. The quantiles count every member as having waited as long as the
	// first of its batch, and are rounded up, with four steps per doubling.
	LongestWait time.Duration `json:"longest_wait_ns"`
	WaitP50     time.Duration `json:"wait_p50_ns"`
	WaitP90     time.Duration `json:"wait_p90_ns"`
	WaitP99     time.Duration `json:"wait_p99_ns"`

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
	waits    histogram
	lastErr  error
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
	t.waits.add(waited, int64(b.members))
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
		LongestWait:  t.longest,
		WaitP50:      min(t.waits.quantile(0.50), t.longest),
		WaitP90:      min(t.waits.quantile(0.90), t.longest),
		WaitP99:      min(t.waits.quantile(0.99), t.longest),
	}
	if t.batches > 0 {
		s.MeanBatch = float64(t.requests) / float64(t.batches)
	}
	if t.lastErr != nil {
		s.LastError = t.lastErr.Error()
	}
	return s
}

// histogram counts durations in four buckets per octave, from 1 µs to over an
// hour.
type histogram [32 * 4]int64

// bucket returns the index of d: the power of two of its microseconds, then the
// next two bits.
func bucket(d time.Duration) int {
	us := uint64(max(d, 0)/time.Microsecond) + 4
	octave := bits.Len64(us) - 1 // at least 2
	i := (octave-2)*4 + int(us>>(octave-2)&3)
	return min(i, len(histogram{})-1)
}

// upper returns the end of bucket i.
func upper(i int) time.Duration {
	return time.Duration(uint64(4+i%4+1)<<(i/4)-4) * time.Microsecond
}

func (h *histogram) add(d time.Duration, n int64) { h[bucket(d)] += n }

// quantile returns an upper bound of the q-th quantile, 0 when nothing was
// counted.
func (h *histogram) quantile(q float64) time.Duration {
	var total int64
	for _, n := range h {
		total += n
	}
	rank := int64(math.Ceil(q * float64(total)))
	var seen int64
	for i, n := range h {
		if seen += n; n > 0 && seen >= rank {
			return upper(i)
		}
	}
	return 0
}
