package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	emmap "github.com/edsrzf/mmap-go"
	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// fairs: short work beside long work of the same kind, and alone: a cold load of
// 4 KiB beside a page-in of a large file, and the opening of a file beside a copy
// of one. The figure is the 99th percentile. What the device and the kernel have
// one wait for shows in the peer that does both by plain system calls.
func fairs() []workload {
	return []workload{
		{name: "fair/load", unit: "µs p99", aim: "≤ 2000 µs", open: func(c config) ([]side, func(), error) {
			pageIn := func(ctx context.Context, f *async.File, _ string) *async.Future[struct{}] {
				return f.PageIn(ctx, 0, f.Core().Len())
			}
			return openFair(c, pageIn, loadCold, plainFair{"pread beside reads of 1 MiB", readAll, readCold})
		}},
		{name: "fair/open", unit: "µs p99", aim: "≤ 2000 µs", open: func(c config) ([]side, func(), error) {
			copyTo := func(ctx context.Context, f *async.File, to string) *async.Future[struct{}] {
				return f.CopyTo(ctx, to, 0, f.Core().Len())
			}
			return openFair(c, copyTo, openAndClose, plainFair{"os.Open and mmap beside io.Copy", copyAll, mapPlain})
		}},
	}
}

// A plainFair does the same with plain system calls: long work until ctx is done,
// with one goroutine, and short work.
type plainFair struct {
	name  string
	long  func(ctx context.Context, from, to string) error
	short func(name string, rng *rand.Rand) (time.Duration, error)
}

// openFair does short over and over beside long, and without it, and the plain
// work in the same way.
func openFair(c config, long func(context.Context, *async.File, string) *async.Future[struct{}],
	short func(*async.Pool, string, *rand.Rand) (time.Duration, error), plain plainFair) ([]side, func(), error) {
	size := 1024 * mib
	if c.quick {
		size /= 16
	}
	large, err := c.written("fair-large", size, mib)
	if err != nil {
		return nil, nil, err
	}
	small, err := c.written("fair-small", 64*mib, mib)
	if err != nil {
		return nil, nil, err
	}
	to := filepath.Join(c.dir, "fair-copy")
	// measure does short until the time is over or what runs beside it has ended.
	measure := func(beside <-chan struct{}, short func(*rand.Rand) (time.Duration, error)) (float64, error) {
		rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
		var took []time.Duration
		for end := time.Now().Add(c.time); time.Now().Before(end); {
			t, err := short(rng)
			if err != nil {
				return 0, err
			}
			took = append(took, t)
			select {
			case <-beside:
				end = time.Now()
			default:
			}
		}
		return percentile(took, 0.99), nil
	}
	cold := func() error { return errors.Join(chill(large), chill(small)) }
	run := func(beside bool) func() (float64, error) {
		return func() (_ float64, err error) {
			if err := cold(); err != nil {
				return 0, err
			}
			p, err := async.NewPool(async.PoolOptions{})
			if err != nil {
				return 0, err
			}
			defer p.Close()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			f, err := async.Open(ctx, p, large, core.Options{}).Await(ctx)
			if err != nil {
				return 0, err
			}
			defer f.Close()
			defer os.Remove(to)
			var done <-chan struct{}
			if beside {
				under := long(ctx, f, to)
				done = under.Done()
				defer under.Wait()
				defer cancel()
			}
			return measure(done, func(rng *rand.Rand) (time.Duration, error) { return short(p, small, rng) })
		}
	}
	byHand := func() (float64, error) {
		if err := cold(); err != nil {
			return 0, err
		}
		defer os.Remove(to)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { // ends with ctx
			defer close(done)
			if err := plain.long(ctx, large, to); err != nil && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
			}
		}()
		defer func() { cancel(); <-done }()
		return measure(done, func(rng *rand.Rand) (time.Duration, error) { return plain.short(small, rng) })
	}
	return []side{
			{"fmmap", run(true)},
			{"nothing beside it", run(false)},
			{plain.name, byHand},
		}, func() {
			os.Remove(large)
			os.Remove(small)
		}, nil
}

// percentile returns one of the durations, in microseconds.
func percentile(took []time.Duration, p float64) float64 {
	slices.Sort(took)
	return float64(took[int(p*float64(len(took)-1))].Nanoseconds()) / 1e3
}

// loadCold loads a page that is not in memory.
func loadCold(p *async.Pool, name string, rng *rand.Rand) (time.Duration, error) {
	ctx := context.Background()
	f, err := async.Open(ctx, p, name, core.Options{}).Await(ctx)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := f.Core().Advise(core.AdviceRandom, 0, f.Core().Len()); err != nil {
		return 0, err
	}
	for {
		off := rng.Int64N(f.Core().Len()/page) * page
		if resident, _, err := f.Core().Resident(off, page); err != nil {
			return 0, err
		} else if resident > 0 {
			continue
		}
		begin := time.Now()
		pin, err := f.Load(ctx, off, page).Await(ctx)
		if err != nil {
			return 0, err
		}
		pin.Release()
		return time.Since(begin), nil
	}
}

// openAndClose opens a file and closes it, of which the opening counts.
func openAndClose(p *async.Pool, name string, _ *rand.Rand) (time.Duration, error) {
	ctx := context.Background()
	begin := time.Now()
	f, err := async.Open(ctx, p, name, core.Options{}).Await(ctx)
	if err != nil {
		return 0, fmt.Errorf("opening beside a copy: %w", err)
	}
	took := time.Since(begin)
	return took, f.Close()
}

// readAll reads a file by 1 MiB.
func readAll(ctx context.Context, from, _ string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyBuffer(writerOnly{io.Discard}, untilDone{ctx, f}, make([]byte, mib))
	return err
}

// copyAll copies a file by 1 MiB and syncs the copy.
func copyAll(ctx context.Context, from, to string) error {
	return copied(to, from, func(dst, src *os.File) error {
		_, err := io.CopyBuffer(writerOnly{dst}, untilDone{ctx, src}, make([]byte, mib))
		return err
	})
}

// writerOnly hides other methods, by which io.CopyBuffer would pass the buffer by.
type writerOnly struct{ io.Writer }

// untilDone is a Reader that ends with ctx.
type untilDone struct {
	ctx context.Context
	io.Reader
}

func (r untilDone) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

// readCold reads a page that is not in memory by pread.
func readCold(name string, rng *rand.Rand) (time.Duration, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	fd := int(f.Fd())
	if err := unix.Fadvise(fd, 0, 0, unix.FADV_RANDOM); err != nil {
		return 0, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	m, err := unix.Mmap(fd, 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	defer unix.Munmap(m)
	b, vec := make([]byte, page), make([]byte, 1)
	for {
		off := rng.Int64N(size/page) * page
		if _, _, errno := unix.Syscall(unix.SYS_MINCORE, address(m[off:]), page, address(vec)); errno != 0 {
			return 0, errno
		} else if vec[0]&1 != 0 {
			continue
		}
		begin := time.Now()
		_, err := f.ReadAt(b, off)
		return time.Since(begin), err
	}
}

// mapPlain opens a file and maps it, and undoes both, of which the former counts.
func mapPlain(name string, _ *rand.Rand) (time.Duration, error) {
	begin := time.Now()
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	m, err := emmap.Map(f, emmap.RDONLY, 0)
	took := time.Since(begin)
	if err != nil {
		return 0, err
	}
	return took, m.Unmap()
}
