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

// spreads: 64 callers, spread over several files, each of which stores to a page of
// its own and flushes it. The more files there are, the fewer callers share a flush,
// and the more flushes there are to do at a time: spread/tail is how late a ticker is
// beside that.
func spreads() (ws []workload) {
	for _, files := range []int{1, 4, 16, 64} {
		ws = append(ws, workload{name: fmt.Sprintf("spread/%d", files), unit: "flushes/s", open: func(c config) ([]side, func(), error) {
			return openSpread(c, files, config.readRate)
		}})
	}
	return append(ws, workload{name: "spread/tail", unit: "µs p99", open: func(c config) ([]side, func(), error) {
		return openSpread(c, 16, config.readTail)
	}})
}

const spreadSize = readers * page

// A spreadFile is one of the files, as each side has it.
type spreadFile struct {
	ours  *async.File
	fd    *os.File
	m     []byte
	group *grouped
}

func openSpread(c config, n int, measure func(config, reader) (float64, error)) ([]side, func(), error) {
	pool, err := async.NewPool(async.PoolOptions{})
	if err != nil {
		return nil, nil, err
	}
	ctx := context.Background()
	files := make([]spreadFile, n)
	for i := range files {
		f := &files[i]
		name, err := c.written(fmt.Sprintf("spread-%d-%d", n, i), spreadSize, page)
		if err != nil {
			return nil, nil, err
		}
		if f.ours, err = async.Open(ctx, pool, name, core.Options{Access: core.ReadWrite, RemoveOnClose: true}).Await(ctx); err != nil {
			return nil, nil, err
		}
		if f.fd, err = os.OpenFile(name, os.O_RDWR, 0); err != nil {
			return nil, nil, err
		}
		if f.m, err = unix.Mmap(int(f.fd.Fd()), 0, spreadSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
			return nil, nil, err
		}
		f.group = newGrouped(func([]byte) error { return unix.Fdatasync(int(f.fd.Fd())) })
	}
	var stamp atomic.Uint32
	run := func(name string, do func(f *spreadFile, off int64, stamp []byte) error) side {
		return side{name, func() (float64, error) {
			return measure(c, func(worker int, rng *rand.Rand) error {
				off := int64(worker)*page + rng.Int64N(page)
				return do(&files[worker%n], off, []byte{byte(stamp.Add(1))})
			})
		}}
	}
	sides := []side{
		run("fmmap", func(f *spreadFile, off int64, stamp []byte) error {
			if _, err := f.ours.Core().WriteAtCall(stamp, off); err != nil {
				return err
			}
			return f.ours.FlushRange(off, 1).Wait()
		}),
		run("an msync per caller", func(f *spreadFile, off int64, stamp []byte) error {
			copy(f.m[off:], stamp)
			off &^= page - 1
			return unix.Msync(f.m[off:off+page], unix.MS_SYNC)
		}),
		run("write, fdatasync in groups", func(f *spreadFile, off int64, stamp []byte) error {
			if _, err := f.fd.WriteAt(stamp, off); err != nil {
				return err
			}
			return f.group.append([]byte{0})
		}),
	}
	return sides, func() {
		for _, f := range files {
			_ = unix.Munmap(f.m)
			f.fd.Close()
			_ = f.ours.Close()
		}
		_ = pool.Close()
	}, nil
}
