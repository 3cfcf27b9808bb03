package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"
)

// latencies: how long a caller of commit/64 or a reader of cold/4k waits, by
// percentile. The readers have no advice to expect random order.
func latencies() []workload {
	var commits, colds []workload
	for _, p := range []float64{50, 99, 99.9} {
		unit := fmt.Sprintf("µs p%v", p)
		measure := func(c config) rater {
			return func(n int, do func(worker int, rng *rand.Rand) error) (float64, error) {
				return c.wait(p/100, n, do)
			}
		}
		commits = append(commits, workload{name: fmt.Sprintf("latency/commit/%v", p), unit: unit, open: func(c config) ([]side, func(), error) {
			return openCommit(c, mib, 64, false, measure(c))
		}})
		colds = append(colds, workload{name: fmt.Sprintf("latency/cold/%v", p), unit: unit, open: func(c config) ([]side, func(), error) {
			size := 1024 * mib
			if c.quick {
				size /= 16
			}
			name, err := c.written("latency", size, mib)
			if err != nil {
				return nil, nil, err
			}
			read := func(do reader) (float64, error) { return measure(c)(readers, do) }
			return []side{
				{"fmmap", cold(name, read, loading(page, false))},
				{"touching a mmap-go slice", cold(name, read, touching(page, false))},
				{"pread a goroutine", cold(name, read, preading(page, false))},
			}, func() { os.Remove(name) }, nil
		}})
	}
	return append(commits, colds...)
}

// wait returns the percentile p of the time, in microseconds, that a call of do
// takes while n goroutines call it.
func (c config) wait(p float64, n int, do func(worker int, rng *rand.Rand) error) (float64, error) {
	took := make([][]time.Duration, n)
	_, err := c.rate(n, func(worker int, rng *rand.Rand) error {
		begin := time.Now()
		err := do(worker, rng)
		took[worker] = append(took[worker], time.Since(begin))
		return err
	})
	if err != nil {
		return 0, err
	}
	return percentile(slices.Concat(took...), p), nil
}
