package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// commits: many callers, each of which stores to a page and flushes it. In
// commit and commit4k each has a page of its own and the pages are adjacent, as
// in a log or a table. In scatter4k each takes a random page every time. In
// commit the file was written by 1 MiB writes, so that a flush of what was stored
// through a map writes 1 MiB: there this library stores by a copying store.
func commits() (ws []workload) {
	for _, c := range []struct {
		name    string
		each    int
		random  bool
		callers []int
	}{
		{"commit", mib, false, []int{1, 8, 64, 256}},
		{"commit4k", page, false, []int{1, 8, 64, 256}},
		{"scatter4k", page, true, []int{64}},
	} {
		for _, callers := range c.callers {
			ws = append(ws, workload{name: fmt.Sprintf("%s/%d", c.name, callers), unit: "flushes/s", open: func(cfg config) ([]side, func(), error) {
				return openCommit(cfg, c.each, callers, c.random, cfg.rate)
			}})
		}
	}
	return ws
}

const commitSize = 256 * mib

// A rater runs n goroutines that call do for the time of a measurement, and returns
// a figure of that.
type rater func(n int, do func(worker int, rng *rand.Rand) error) (float64, error)

func openCommit(c config, each, callers int, random bool, rate rater) ([]side, func(), error) {
	name, err := c.written(fmt.Sprintf("commit-%d-%d", each, callers), commitSize, each)
	if err != nil {
		return nil, nil, err
	}
	pool, err := async.NewPool(async.PoolOptions{})
	if err != nil {
		return nil, nil, err
	}
	ctx := context.Background()
	f, err := async.Open(ctx, pool, name, core.Options{Access: core.ReadWrite}).Await(ctx)
	if err != nil {
		return nil, nil, err
	}
	fd, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	m, err := unix.Mmap(int(fd.Fd()), 0, commitSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	p, err := f.Core().Pin(0, commitSize)
	if err != nil {
		return nil, nil, err
	}
	var stamp atomic.Uint32
	place := func(worker int, rng *rand.Rand) int64 {
		if random {
			return rng.Int64N(commitSize/page) * page
		}
		return int64(worker) * page
	}
	store := func(b []byte, worker int, rng *rand.Rand) int64 {
		off := place(worker, rng)
		b[off+rng.Int64N(page)] = byte(stamp.Add(1))
		return off
	}
	ours := side{"fmmap", func() (float64, error) {
		b := p.Bytes()
		return rate(callers, func(worker int, rng *rand.Rand) error {
			if each == page {
				return f.FlushRange(store(b, worker, rng), page).Wait()
			}
			off := place(worker, rng)
			if _, err := f.Core().WriteAtCall([]byte{byte(stamp.Add(1))}, off+rng.Int64N(page)); err != nil {
				return err
			}
			return f.FlushRange(off, page).Wait()
		})
	}}
	theirs := side{"an msync per caller", func() (float64, error) {
		return rate(callers, func(worker int, rng *rand.Rand) error {
			off := store(m, worker, rng)
			return unix.Msync(m[off:off+page], unix.MS_SYNC)
		})
	}}
	group := newGrouped(func([]byte) error { return unix.Fdatasync(int(fd.Fd())) })
	written := side{"write, fdatasync in groups", func() (float64, error) {
		return rate(callers, func(worker int, rng *rand.Rand) error {
			off := place(worker, rng)
			if _, err := fd.WriteAt([]byte{byte(stamp.Add(1))}, off+rng.Int64N(page)); err != nil {
				return err
			}
			return group.append([]byte{0})
		})
	}}
	return []side{ours, theirs, written}, func() {
		p.Release()
		_ = f.Close()
		_ = pool.Close()
		_ = unix.Munmap(m)
		fd.Close()
		os.Remove(name)
	}, nil
}
