package main

import (
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"
)

// warms: 64 readers of random pages of a file that fits into memory and is not
// there at first, without advice. The figures are the requests of five times the
// time of a measurement, by the second; those of the first tenth of it; and how
// late a ticker of 1 ms is beside them, in the 99th percentile.
func warms() (ws []workload) {
	for _, w := range []struct {
		name, unit, aim string
		figure          func(warmth) float64
		without         bool // has this library with random advice as a peer
	}{
		{"warm", "requests/s", "", func(w warmth) float64 { return w.rate }, false},
		{"warm/begin", "requests/s", "ratio ≥ 0.8", func(w warmth) float64 { return w.first }, true},
		{"warm/tail", "µs p99", "≤ 1000 µs", func(w warmth) float64 { return w.late }, false},
	} {
		ws = append(ws, workload{name: w.name, unit: w.unit, aim: w.aim, open: func(c config) ([]side, func(), error) {
			name, err := c.warmFile()
			if err != nil {
				return nil, nil, err
			}
			measure := func(do reader) (float64, error) {
				got, err := c.warm(do)
				return w.figure(got), err
			}
			sides := []side{{"fmmap", cold(name, measure, loading(page, false))}}
			if w.without {
				sides = append(sides, side{"fmmap, advised random", cold(name, measure, loading(page, true))})
			}
			return append(sides,
				side{"touching a mmap-go slice", cold(name, measure, touching(page, false))},
				side{"pread a goroutine", cold(name, measure, preading(page, false))},
			), func() { os.Remove(name) }, nil
		}})
	}
	return ws
}

// warmFile makes a file that fits into memory, in proportion to the time, as the
// device is not faster for less of it.
func (c config) warmFile() (name string, err error) {
	return c.written("warm", min(max(int(c.time.Seconds()*2048), 64), 2048)*mib, mib)
}

// warmth is what a run of warms has measured.
type warmth struct {
	rate, first float64 // requests per second, and those of the first tenth
	late        float64 // µs
}

// warm runs the readers.
func (c config) warm(do reader) (w warmth, err error) {
	c.time *= 5
	var counts [readers]struct {
		atomic.Int64
		_ [120]byte // no cache line is shared
	}
	sum := func() (n int64) {
		for i := range counts {
			n += counts[i].Load()
		}
		return n
	}
	late, err := ticked(time.Millisecond, func() error {
		begin := time.Now()
		first := time.AfterFunc(c.time/10, func() { w.first = float64(sum()) / time.Since(begin).Seconds() })
		defer first.Stop()
		w.rate, err = c.rate(readers, func(worker int, rng *rand.Rand) error {
			counts[worker].Add(1)
			return do(worker, rng)
		})
		return err
	})
	if err != nil {
		return w, err
	}
	w.late = percentile(late, 0.99)
	return w, nil
}
