package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// fairs: short work beside long work of the same kind, and alone: a cold load of
// 4 KiB beside a page-in of a large file, and the opening of a file beside a copy
// of one. The figure is the 99th percentile.
func fairs() []workload {
	return []workload{
		{name: "fair/load", unit: "µs p99", aim: "≤ 2000 µs", open: func(c config) ([]side, func(), error) {
			return openFair(c, func(ctx context.Context, f *async.File, _ string) *async.Future[struct{}] {
				return f.PageIn(ctx, 0, f.Core().Len())
			}, loadCold)
		}},
		{name: "fair/open", unit: "µs p99", aim: "≤ 2000 µs", open: func(c config) ([]side, func(), error) {
			return openFair(c, func(ctx context.Context, f *async.File, to string) *async.Future[struct{}] {
				return f.CopyTo(ctx, to, 0, f.Core().Len())
			}, openAndClose)
		}},
	}
}

// openFair does short over and over beside long, and without it.
func openFair(c config, long func(context.Context, *async.File, string) *async.Future[struct{}],
	short func(*async.Pool, string, *rand.Rand) (time.Duration, error)) ([]side, func(), error) {
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
	run := func(beside bool) func() (float64, error) {
		return func() (_ float64, err error) {
			for _, name := range []string{large, small} {
				if err := chill(name); err != nil {
					return 0, err
				}
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
			to := filepath.Join(c.dir, "fair-copy")
			defer os.Remove(to)
			under := async.Ready(struct{}{})
			if beside {
				under = long(ctx, f, to)
			}
			rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
			var took []time.Duration
			for end := time.Now().Add(c.time); time.Now().Before(end); {
				t, err := short(p, small, rng)
				if err != nil {
					return 0, err
				}
				took = append(took, t)
				if beside && under.Err() == nil {
					select {
					case <-under.Done():
						end = time.Now()
					default:
					}
				}
			}
			cancel()
			_ = under.Wait()
			return percentile(took, 0.99), nil
		}
	}
	return []side{
			{"fmmap", run(true)},
			{"nothing beside it", run(false)},
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
