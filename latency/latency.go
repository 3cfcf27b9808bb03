// Package latency counts durations in buckets: what the statistics of flush,
// async and wal have, and what a histogram of Prometheus or OpenTelemetry is
// made from.
//
// The buckets are the same everywhere: bucket i counts durations up to 2^i µs,
// [Bound](i), that are too long for the bucket before it; the last one counts
// all that are longer than 67 s. So histograms of several files, logs or
// processes can be added.
package latency

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Buckets is the number of buckets of a [Histogram].
const Buckets = 28

// Bound returns the longest duration that bucket i counts. The last bucket has no
// bound: from Buckets-1 on, Bound returns the longest time.Duration. For a
// negative i it returns 0.
func Bound(i int) time.Duration {
	switch {
	case i < 0:
		return 0
	case i >= Buckets-1:
		return math.MaxInt64
	}
	return time.Microsecond << i
}

// bucket returns the index of the bucket that counts d. A negative d counts as 0.
func bucket(d time.Duration) int {
	us := uint64(max(d, 1)-1) / uint64(time.Microsecond) // a bound belongs to its bucket
	return min(bits.Len64(us), Buckets-1)
}

// A Histogram is how often durations of each bucket have occurred. It is plain
// data, fit for expvar and JSON; the zero value is an empty one.
type Histogram struct {
	Counts [Buckets]uint64 `json:"counts"` // by bucket, each without those before it
	Sum    time.Duration   `json:"sum_ns"` // of all durations
}

// Add counts n durations of d. A negative d counts as 0.
func (h *Histogram) Add(d time.Duration, n uint64) {
	h.Counts[bucket(d)] += n
	h.Sum += max(d, 0) * time.Duration(n)
}

// Plus returns the histogram of the durations of h and g together.
func (h Histogram) Plus(g Histogram) Histogram {
	for i, n := range g.Counts {
		h.Counts[i] += n
	}
	h.Sum += g.Sum
	return h
}

// Count returns how many durations have been counted.
func (h Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Mean returns the mean of the durations, and 0 if there are none.
func (h Histogram) Mean() time.Duration {
	n := h.Count()
	if n == 0 {
		return 0
	}
	return h.Sum / time.Duration(n)
}

// Quantile returns an upper bound of the q-th quantile, for q from 0 to 1: the
// bound of its bucket, which is less than twice the quantile if that is longer
// than 1 µs, and at most 67 s. It returns 0 if nothing has been counted.
func (h Histogram) Quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.Count())))
	var seen uint64
	for i, n := range h.Counts {
		if seen += n; n > 0 && seen >= rank {
			return Bound(min(i, Buckets-2))
		}
	}
	return 0
}

// A Recorder counts durations as they occur. The zero value is ready for use. It
// is safe for concurrent use, takes no lock and allocates nothing: to count costs
// two atomic additions. It must not be copied once it has been used.
type Recorder struct {
	counts [Buckets]atomic.Uint64
	sum    atomic.Int64
}

// Add counts n durations of d. A negative d counts as 0.
func (r *Recorder) Add(d time.Duration, n uint64) {
	r.counts[bucket(d)].Add(n)
	r.sum.Add(int64(max(d, 0)) * int64(n))
}

// Histogram returns what has been counted. Durations counted meanwhile may be
// missing in the counts or in the sum alone.
func (r *Recorder) Histogram() (h Histogram) {
	for i := range h.Counts {
		h.Counts[i] = r.counts[i].Load()
	}
	h.Sum = time.Duration(r.sum.Load())
	return h
}
