package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"

	"github.com/edsrzf/mmap-go"
	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// colds: 64 readers of random ranges of a file that is not in memory. Each
// yields after a request, as the handler of a server does when it responds. The
// figure is how many requests there are, how late a ticker is beside them, or
// what processor time a request takes.
func colds() (ws []workload) {
	for _, w := range []struct {
		name, unit, aim string
		n               int64
		measure         func(config, reader) (float64, error)
	}{
		{"cold/4k", "requests/s", "", page, config.readRate},
		{"cold/64k", "requests/s", "", 64 * kib, config.readRate},
		{"cold/tail", "µs p99", "≤ 1000 µs, ratio ≥ 0.5", page, config.readTail},
		{"cold/cpu", "µs/request", "ratio ≥ 0.83", page, config.readCost},
	} {
		ws = append(ws, workload{name: w.name, unit: w.unit, aim: w.aim, open: func(c config) ([]side, func(), error) {
			name, err := c.coldFile()
			if err != nil {
				return nil, nil, err
			}
			measure := func(do reader) (float64, error) { return w.measure(c, do) }
			sides := coldSides(name, w.n, measure)
			sides = append(sides, side{"pread a goroutine", cold(name, measure, preading(w.n, true))})
			return sides, func() { os.Remove(name) }, nil
		}})
	}
	return ws
}

const readers = 64

// coldFile makes a file for readers that begin without it in memory.
func (c config) coldFile() (name string, err error) {
	size := 2048 * mib
	if c.quick {
		size /= 16
	}
	return c.written("cold", size, mib)
}

// openCold returns the two sides, which read n bytes at random multiples of n
// from the file at name.
func openCold(c config, name string, n int64, remove func()) ([]side, func(), error) {
	return coldSides(name, n, func(do reader) (float64, error) { return c.readRate(do) }), remove, nil
}

// reader reads once.
type reader func(worker int, rng *rand.Rand) error

// opener opens a file for readers. The function that it returns closes the file.
type opener func(name string) (reader, func(), error)

// coldSides are the two sides on a file that is not in memory when a run
// begins.
func coldSides(name string, n int64, measure func(reader) (float64, error)) []side {
	return []side{
		{"fmmap", cold(name, measure, loading(n, true))},
		{"touching a mmap-go slice", cold(name, measure, touching(n, true))},
	}
}

// cold returns the run of a side on a file that is not in memory when it begins,
// on two processors. Mapped pages cannot be dropped, so each run opens the file
// anew.
func cold(name string, measure func(reader) (float64, error), open opener) func() (float64, error) {
	return func() (float64, error) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
		if err := chill(name); err != nil {
			return 0, err
		}
		do, closer, err := open(name)
		if err != nil {
			return 0, err
		}
		defer closer()
		return measure(do)
	}
}

// loading reads n bytes through futures of pins, with advice to expect random
// order, or without.
func loading(n int64, random bool) opener {
	return func(name string) (reader, func(), error) {
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
		if random {
			if err := f.Advise(ctx, core.AdviceRandom, 0, size).Wait(); err != nil {
				return nil, nil, err
			}
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
}

// touching reads n bytes of a slice.
func touching(n int64, random bool) opener {
	return func(name string) (reader, func(), error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, nil, err
		}
		m, err := mmap.Map(f, mmap.RDONLY, 0)
		if err == nil && random {
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
}

// preading reads n bytes into a buffer that each goroutine has of its own.
func preading(n int64, random bool) opener {
	return func(name string) (reader, func(), error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, nil, err
		}
		fi, err := f.Stat()
		if err == nil && random {
			err = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM)
		}
		if err != nil {
			f.Close()
			return nil, nil, err
		}
		return readingAt(f, fi.Size(), n), func() { f.Close() }, nil
	}
}

// readingAt reads n bytes of a file of the given length into a buffer that each
// goroutine has of its own.
func readingAt(f io.ReaderAt, size, n int64) reader {
	var bufs [readers][]byte
	for i := range bufs {
		bufs[i] = make([]byte, n)
	}
	return func(worker int, rng *rand.Rand) error {
		if _, err := f.ReadAt(bufs[worker], rng.Int64N(size/n)*n); err != nil {
			return err
		}
		err := sum(bufs[worker])
		runtime.Gosched()
		return err
	}
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
