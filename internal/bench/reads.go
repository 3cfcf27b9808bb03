package main

import (
	"os"

	"github.com/fmmap-go/fmmap/core"
)

// reads: 64 goroutines that copy random 4 KiB of a file that is not in memory by
// core.ReadAt, and how late a ticker is beside them, against loads of async.
func reads() (ws []workload) {
	for _, w := range []struct {
		name, unit, aim string
		measure         func(config, reader) (float64, error)
	}{
		{"core/4k", "requests/s", "ratio ≥ 0.8", config.readRate},
		{"core/tail", "µs p99", "≤ 1000 µs", config.readTail},
	} {
		ws = append(ws, workload{name: w.name, unit: w.unit, aim: w.aim, open: func(c config) ([]side, func(), error) {
			name, err := c.coldFile()
			if err != nil {
				return nil, nil, err
			}
			measure := func(do reader) (float64, error) { return w.measure(c, do) }
			return []side{
				{"fmmap", cold(name, measure, copying(page, true, core.ViaEither))},
				{"async.Load", cold(name, measure, loading(page, true))},
				{"pread a goroutine", cold(name, measure, preading(page, true))},
				{"through the map", cold(name, measure, copying(page, true, core.ViaMap))},
			}, func() { os.Remove(name) }, nil
		}})
	}
	return append(ws, workload{name: "core/warm", unit: "requests/s", open: func(c config) ([]side, func(), error) {
		name, err := c.warmFile()
		if err != nil {
			return nil, nil, err
		}
		measure := func(do reader) (float64, error) {
			got, err := c.warm(do)
			return got.rate, err
		}
		return []side{
			{"fmmap", cold(name, measure, copying(page, false, core.ViaEither))},
			{"through the map", cold(name, measure, copying(page, false, core.ViaMap))},
			{"pread a goroutine", cold(name, measure, preading(page, false))},
		}, func() { os.Remove(name) }, nil
	}})
}

// copying copies n bytes by core.ReadAt into a buffer that each goroutine has of
// its own.
func copying(n int64, random bool, via core.Via) opener {
	return func(name string) (reader, func(), error) {
		f, err := core.OpenFile(name, core.Options{Reads: via})
		if err != nil {
			return nil, nil, err
		}
		size := f.Len()
		if random {
			if err := f.Advise(core.AdviceRandom, 0, size); err != nil {
				f.Close()
				return nil, nil, err
			}
		}
		return readingAt(f, size, n), func() { f.Close() }, nil
	}
}
