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

// colds: 64 readers of random requests on a file that is not in memory, each yielding after
// a request as a server's handler does when it answers.
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

// openCold has both sides read the file at name, n bytes at random multiples of n.
func openCold(c config, name string, n int64, remove func()) ([]side, func(), error) {
	r, err := newReading(name, n)
	if err != nil {
		remove()
		return nil, nil, err
	}
	one := func(do func() (float64, error)) func() (float64, error) {
		return func() (float64, error) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
			if err := chill(name); err != nil {
				return 0, err
			}
			return do()
		}
	}
	ours := side{"fmmap", one(func() (float64, error) { return c.rate(readers, r.load) })}
	theirs := side{"touching a mmap-go slice", one(func() (float64, error) { return c.rate(readers, r.touch) })}
	return []side{ours, theirs}, func() { r.close(); remove() }, nil
}

// reading is one file opened by both sides.
type reading struct {
	file  *async.File
	pool  *async.Pool
	plain *os.File
	slice mmap.MMap
	n     int64
	size  int64
}

func newReading(name string, n int64) (*reading, error) {
	r := &reading{n: n}
	var err error
	if r.pool, err = async.NewPool(async.PoolOptions{}); err != nil {
		return nil, err
	}
	ctx := context.Background()
	if r.file, err = async.Open(ctx, r.pool, name, core.Options{}).Await(ctx); err != nil {
		return nil, err
	}
	r.size = r.file.Core().Len()
	if err := r.file.Core().Advise(core.Random, 0, r.size); err != nil {
		return nil, err
	}
	if r.plain, err = os.Open(name); err != nil {
		return nil, err
	}
	if r.slice, err = mmap.Map(r.plain, mmap.RDONLY, 0); err != nil {
		return nil, err
	}
	return r, unix.Madvise(r.slice, unix.MADV_RANDOM)
}

func (r *reading) close() {
	ctx := context.Background()
	_ = r.file.Close(ctx).Wait()
	_ = r.pool.Close(ctx)
	_ = r.slice.Unmap()
	r.plain.Close()
}

func (r *reading) load(_ int, rng *rand.Rand) error {
	ctx := context.Background()
	p, err := r.file.Load(ctx, rng.Int64N(r.size/r.n)*r.n, r.n).Await(ctx)
	if err != nil {
		return err
	}
	err = p.Do(func(b []byte) error { return sum(b) })
	p.Release()
	runtime.Gosched()
	return err
}

func (r *reading) touch(_ int, rng *rand.Rand) error {
	off := rng.Int64N(r.size/r.n) * r.n
	err := sum(r.slice[off : off+r.n])
	runtime.Gosched()
	return err
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

// lateness runs the readers and measures beside them how late a ticker of 100 µs is, in the median, in microseconds.
func (c config) lateness(do func(int, *rand.Rand) error) (float64, error) {
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
