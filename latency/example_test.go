package latency_test

import (
	"fmt"
	"time"

	"github.com/fmmap-go/fmmap/latency"
)

// A program may count waits of its own, to show them beside those of the library.
func ExampleRecorder() {
	var waits latency.Recorder
	for i := range 100 {
		waits.Add(time.Duration(i)*10*time.Microsecond, 1)
	}
	h := waits.Histogram()
	fmt.Println(h.Count(), "waits, mean", h.Mean(), "at most half of them above", h.Quantile(0.5))
	// Output: 100 waits, mean 495µs at most half of them above 512µs
}

func ExampleHistogram() {
	var h latency.Histogram
	h.Add(300*time.Microsecond, 99)
	h.Add(20*time.Millisecond, 1)
	for i, n := range h.Counts {
		if n > 0 {
			fmt.Println(n, "up to", latency.Bound(i))
		}
	}
	// Output:
	// 99 up to 512µs
	// 1 up to 32.768ms
}
