package flush

import (
	"math"
	"testing"
	"time"
)

func TestHistogramRoundsUpALittle(t *testing.T) {
	for d := time.Duration(0); d < 2*time.Hour; d = d*9/8 + 100 {
		var h histogram
		h.add(d, 1)
		got := h.quantile(0.5)
		if i := bucket(d); i == len(h)-1 {
			continue // the last bucket has no end
		}
		if got <= d || got > d+d/2+2*time.Microsecond {
			t.Errorf("%v is counted as %v", d, got)
		}
	}
}

func TestHistogramBucketsAreOrderedAndClosed(t *testing.T) {
	for i := range len(histogram{}) - 1 {
		end := upper(i)
		if bucket(end-1) != i || bucket(end) != i+1 {
			t.Fatalf("bucket %d ends at %v, but around that come %d and %d", i, end, bucket(end-1), bucket(end))
		}
	}
	for _, d := range []time.Duration{-1, math.MinInt64} {
		if bucket(d) != 0 {
			t.Errorf("%d is in bucket %d", d, bucket(d))
		}
	}
	if got := bucket(math.MaxInt64); got != len(histogram{})-1 {
		t.Errorf("the longest time is in bucket %d", got)
	}
}

func TestQuantiles(t *testing.T) {
	var h histogram
	if h.quantile(0.99) != 0 {
		t.Error("nothing counted has a quantile")
	}
	h.add(10*time.Microsecond, 98)
	h.add(10*time.Millisecond, 2)
	for _, tt := range []struct {
		q    float64
		want time.Duration
	}{{0, 10 * time.Microsecond}, {0.5, 10 * time.Microsecond}, {0.98, 10 * time.Microsecond}, {0.99, 10 * time.Millisecond}, {1, 10 * time.Millisecond}} {
		if got := h.quantile(tt.q); got < tt.want || got > tt.want*3/2 {
			t.Errorf("quantile %v is %v, want about %v", tt.q, got, tt.want)
		}
	}
}

func TestACrowdThatStaysAwayIsSoonNotWaitedFor(t *testing.T) {
	w := crowd{patience: maxPatience}
	for range 10 {
		w.learn(8, 0)
	}
	if w.patience != minPatience {
		t.Errorf("after ten waits in vain the patience is %v, want %v", w.patience, minPatience)
	}
	for range 10 {
		w.learn(8, 4)
	}
	if w.patience != maxPatience {
		t.Errorf("after ten good ones it is %v, want %v", w.patience, maxPatience)
	}
}
