package latency_test

import (
	"encoding/json"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/latency"
)

func TestBuckets(t *testing.T) {
	const last = latency.Buckets - 1
	tests := []struct {
		d      time.Duration
		bucket int
	}{
		{math.MinInt64, 0}, {-1, 0}, {0, 0}, {1, 0}, {999, 0},
		{time.Microsecond, 0}, {time.Microsecond + 1, 1},
		{2 * time.Microsecond, 1}, {2*time.Microsecond + 1, 2},
		{time.Millisecond, 10}, {time.Second, 20}, {time.Minute, 26},
		{latency.Bound(last - 1), last - 1}, {latency.Bound(last-1) + 1, last},
		{time.Hour, last}, {math.MaxInt64, last},
	}
	for _, test := range tests {
		var r latency.Recorder
		r.Add(test.d, 1)
		h := r.Histogram()
		if h.Counts[test.bucket] != 1 || h.Count() != 1 || h.Sum != max(test.d, 0) {
			t.Errorf("%d ns: %+v, want it in bucket %d", test.d, h, test.bucket)
		}
		if test.d > latency.Bound(test.bucket) || test.bucket > 0 && test.d <= latency.Bound(test.bucket-1) {
			t.Errorf("%v is not within the bounds of bucket %d: above %v, at most %v",
				test.d, test.bucket, latency.Bound(test.bucket-1), latency.Bound(test.bucket))
		}
		var plain latency.Histogram
		plain.Add(test.d, 1)
		if plain != h {
			t.Errorf("%v: Histogram.Add made %+v, Recorder.Add %+v", test.d, plain, h)
		}
	}
	for i := range latency.Buckets + 2 {
		if latency.Bound(i-1) >= latency.Bound(i) && i < latency.Buckets {
			t.Errorf("bound %d is %v, that before it %v", i, latency.Bound(i), latency.Bound(i-1))
		}
	}
}

func TestQuantiles(t *testing.T) {
	var h latency.Histogram
	if h.Quantile(0.5) != 0 || h.Mean() != 0 || h.Count() != 0 {
		t.Errorf("of nothing: quantile %v, mean %v, count %d", h.Quantile(0.5), h.Mean(), h.Count())
	}
	h.Add(100*time.Microsecond, 90)
	h.Add(5*time.Millisecond, 9)
	h.Add(time.Hour, 1)
	for q, want := range map[float64]time.Duration{
		0:    128 * time.Microsecond,
		0.5:  128 * time.Microsecond,
		0.9:  128 * time.Microsecond,
		0.91: 8192 * time.Microsecond,
		0.99: 8192 * time.Microsecond,
		1:    latency.Bound(latency.Buckets - 2),
	} {
		if got := h.Quantile(q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if want := (90*100*time.Microsecond + 9*5*time.Millisecond + time.Hour) / 100; h.Mean() != want {
		t.Errorf("mean %v, want %v", h.Mean(), want)
	}
	twice := h.Plus(h)
	if twice.Count() != 200 || twice.Sum != 2*h.Sum || twice.Mean() != h.Mean() || h.Count() != 100 {
		t.Errorf("twice: %+v of %+v", twice, h)
	}
}

func TestConcurrentObservationsAreAllCounted(t *testing.T) {
	const each = 1000
	var r latency.Recorder
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range each {
				r.Add(latency.Bound(i), 2)
				if h := r.Histogram(); h.Count() > 8*each*2 {
					t.Errorf("%d counted", h.Count())
				}
			}
		})
	}
	wg.Wait()
	var want latency.Histogram
	for i := range 8 {
		want.Add(latency.Bound(i), 2*each)
	}
	if h := r.Histogram(); h != want {
		t.Errorf("got %+v, want %+v", h, want)
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var back latency.Histogram
	if err := json.Unmarshal(text, &back); err != nil || back != want {
		t.Errorf("%s came back as %+v, %v", text, back, err)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	var r latency.Recorder
	var h latency.Histogram
	if n := testing.AllocsPerRun(100, func() {
		r.Add(time.Millisecond, 1)
		h = h.Plus(r.Histogram())
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRecorder(b *testing.B) {
	b.ReportAllocs()
	var r latency.Recorder
	for i := 0; b.Loop(); i++ {
		r.Add(time.Duration(i), 1)
	}
}
