package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"time"

	"github.com/edsrzf/mmap-go"
	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// colds: 64 readers of random ranges of a file that is not in memory. Each
// yields after a request, as the handler of a server does when it responds.
func colds() (ws []workload) {
	for _, c := range []struct {
		name string
		n    int64
	}{{"cold/4k", page}, {"cold/64k", 64 * kib}} {
		ws = append(ws, workload{name: c.name, unit: "requests/s", open: func(cfg config) ([]side, func(), error) {
			name, err := cfg.written("cold", 2048*mib, mib)
			if err != nil {
				return nil, nil, err
			}
			return openCold(cfg, name, c.n, func() { os.Remove(name) })
		}})
	}
	return ws
}

const readers = 64

// openCold returns the two sides, which read n bytes at random multiples of n
// from the file at name.
func openCold(c config, name string, n int64, remove func()) ([]side, func(), error) {
	measure := func(do reader) (float64, error) { return c.rate(readers, do) }
	return coldSides(name, n, measure), remove, nil
}

// reader reads once.
type reader func(worker int, rng *rand.Rand) error

// coldSides are the two sides on a file that is not in memory when a run
// begins. Mapped pages cannot be dropped, so each run maps the file anew.
func coldSides(name string, n int64, measure func(reader) (float64, error)) []side {
	run := func(open func() (reader, func(), error)) func() (float64, error) {
		return func() (float64, error) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
			if err := chill(name); err != nil {
				return 0, err
			}
			do, closer, err := open()
			if err != nil {
				return 0, err
			}
			defer closer()
			return measure(do)
		}
	}
	return []side{
		{"fmmap", run(func() (reader, func(), error) { return loading(name, n) })},
		{"touching a mmap-go slice", run(func() (reader, func(), error) { return touching(name, n) })},
	}
}

// loading reads through futures of pins.
func loading(name string, n int64) (reader, func(), error) {
	pool, err := async.NewPool(async.PoolOptions{})
	if err != nil {
		return nil, nil, err
	}
	ctx := context.Background()
	f, err := async.Open(ctx, pool, name, core.Options{}).Await(ctx)
	if err != nil {
		return nil, nil, err
	}
	size := f.Core().Len()
	if err := f.Core().Advise(core.AdviceRandom, 0, size); err != nil {
		return nil, nil, err
	}
	do := func(_ int, rng *rand.Rand) error {
		p, err := f.Load(ctx, rng.Int64N(size/n)*n, n).Await(ctx)
		if err != nil {
			return err
		}
		err = p.Do(sum)
		p.Release()
		runtime.Gosched()
		return err
	}
	return do, func() {
		_ = f.Close()
		_ = pool.Close()
	}, nil
}

// touching reads a slice.
func touching(name string, n int64) (reader, func(), error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	m, err := mmap.Map(f, mmap.RDONLY, 0)
	if err == nil {
		err = unix.Madvise(m, unix.MADV_RANDOM)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	do := func(_ int, rng *rand.Rand) error {
		off := rng.Int64N(int64(len(m))/n) * n
		err := sum(m[off : off+n])
		runtime.Gosched()
		return err
	}
	return do, func() {
		_ = m.Unmap()
		f.Close()
	}, nil
}

// sum reads a byte of each page.
func sum(b []byte) error {
	var s byte
	for i := 0; i < len(b); i += page {
		s += b[i]
	}
	if s == 1 && len(b) == 0 {
		return fmt.Errorf("no bytes")
	}
	return nil
}

// lateness runs the readers and returns the median lateness of a ticker of 100
// µs beside them, in microseconds.
func (c config) lateness(do reader) (float64, error) {
	const period = 100 * time.Microsecond
	stop, late := make(chan bool), make(chan []float64)
	go func() {
		var all []float64
		next := time.Now().Add(period)
		t := time.NewTimer(period)
		defer t.Stop()
		for {
			select {
			case <-stop:
				late <- all
				return
			case <-t.C:
				now := time.Now()
				all = append(all, float64(now.Sub(next).Nanoseconds())/1000)
				next = now.Add(period)
				t.Reset(period)
			}
		}
	}()
	_, err := c.rate(readers, do)
	close(stop)
	all := <-late
	if err != nil || len(all) == 0 {
		return 0, err
	}
	return median(all), nil
}
