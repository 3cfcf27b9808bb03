package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// stores: copying stores, as callers of WriteAt and Put make them, against the
// same stores through the map. In scatter each caller stores 64 bytes to a
// random page of a file that was written by 1 MiB writes, and flushes it;
// scatter/bytes and append/bytes are what the device writes for that, and what
// it writes for each byte of a log of 1 KiB records in a new file, of which 100
// are flushed at a time. hot/put stores to pages that have just been stored to.
func stores() []workload {
	return []workload{
		{name: "scatter/1", unit: "flushes/s", open: func(c config) ([]side, func(), error) { return openScatter(c, 1) }},
		{name: "scatter/64", unit: "flushes/s", open: func(c config) ([]side, func(), error) { return openScatter(c, 64) }},
		{name: "scatter/bytes", unit: "B", open: openScatterBytes},
		{name: "append/bytes", unit: "B", open: openAppendBytes},
		{name: "hot/put", unit: "ns", open: openPut},
	}
}

const scattered = 64 // bytes

// scatter is a file of commitSize bytes, as async and as a slice.
type scatter struct {
	name  string
	pool  *async.Pool
	ours  *async.File
	fd    *os.File
	slice []byte
}

func (c config) scatter(name string) (s *scatter, err error) {
	s = &scatter{}
	if s.name, err = c.written(name, commitSize, mib); err != nil {
		return nil, err
	}
	if s.pool, err = async.NewPool(async.PoolOptions{}); err != nil {
		return nil, err
	}
	ctx := context.Background()
	if s.ours, err = async.Open(ctx, s.pool, s.name, core.Options{Access: core.ReadWrite}).Await(ctx); err != nil {
		return nil, err
	}
	if s.fd, err = os.OpenFile(s.name, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	s.slice, err = unix.Mmap(int(s.fd.Fd()), 0, commitSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return s, err
}

func (s *scatter) close() {
	_ = s.ours.Close()
	_ = s.pool.Close()
	_ = unix.Munmap(s.slice)
	s.fd.Close()
	os.Remove(s.name)
}

// store stores and flushes by this library: one caller alone without a future.
func (s *scatter) store(rng *rand.Rand, alone bool) error {
	off := rng.Int64N(commitSize/page) * page
	var b [scattered]byte
	binary.LittleEndian.PutUint64(b[:], rng.Uint64())
	if _, err := s.ours.Core().WriteAt(b[:], off); err != nil {
		return err
	}
	if alone {
		return s.ours.Core().FlushRange(off, scattered)
	}
	return s.ours.FlushRange(off, scattered).Wait()
}

// msync stores and flushes through the slice.
func (s *scatter) msync(rng *rand.Rand) error {
	off := rng.Int64N(commitSize/page) * page
	binary.LittleEndian.PutUint64(s.slice[off:], rng.Uint64())
	return unix.Msync(s.slice[off:off+page], unix.MS_SYNC)
}

func openScatter(c config, callers int) ([]side, func(), error) {
	s, err := c.scatter(fmt.Sprintf("scatter-%d", callers))
	if err != nil {
		return nil, nil, err
	}
	all := func(do func(*rand.Rand) error) func() (float64, error) {
		return func() (float64, error) {
			return c.rate(callers, func(_ int, rng *rand.Rand) error { return do(rng) })
		}
	}
	store := func(rng *rand.Rand) error { return s.store(rng, callers == 1) }
	return []side{{"fmmap", all(store)}, {"an msync per caller", all(s.msync)}}, s.close, nil
}

// openScatterBytes measures what the device writes per flush of one caller. What
// other processes write meanwhile is measured too.
func openScatterBytes(c config) ([]side, func(), error) {
	s, err := c.scatter("scatter-bytes")
	if err != nil {
		return nil, nil, err
	}
	per := func(do func(*rand.Rand) error) func() (float64, error) {
		return func() (float64, error) {
			var flushes atomic.Int64
			before, err := writtenTo(s.name)
			if err != nil {
				return 0, err
			}
			if _, err := c.rate(1, func(_ int, rng *rand.Rand) error { flushes.Add(1); return do(rng) }); err != nil {
				return 0, err
			}
			after, err := writtenTo(s.name)
			return float64(after-before) / float64(flushes.Load()), err
		}
	}
	alone := func(rng *rand.Rand) error { return s.store(rng, true) }
	return []side{{"fmmap", per(alone)}, {"an msync per caller", per(s.msync)}}, s.close, nil
}

// writtenTo returns how many bytes the device of the file has written.
func writtenTo(name string) (int64, error) {
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		return 0, err
	}
	b, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b))
	if len(fields) < 7 {
		return 0, fmt.Errorf("the counts of the device are %q", b)
	}
	sectors, err := strconv.ParseInt(fields[6], 10, 64)
	return sectors * 512, err
}

// openAppendBytes measures what the device writes per logged byte.
func openAppendBytes(c config) ([]side, func(), error) {
	const record, batch, batches = kib, 100, 100
	appending := func(name string, via core.Via) side {
		return side{name, func() (float64, error) {
			path := filepath.Join(c.dir, "append-bytes")
			f, err := core.OpenFile(path, core.Options{Access: core.ReadWrite, Create: true, Size: 64 * mib, Stores: via})
			if err != nil {
				return 0, err
			}
			defer os.Remove(path)
			defer f.Close()
			if err := f.Flush(); err != nil {
				return 0, err
			}
			before, err := writtenTo(path)
			if err != nil {
				return 0, err
			}
			b := make([]byte, record)
			for i := range int64(batches) {
				for j := range int64(batch) {
					b[0]++
					if _, err := f.WriteAt(b, (i*batch+j)*record); err != nil {
						return 0, err
					}
				}
				if err := f.FlushRange(i*batch*record, batch*record); err != nil {
					return 0, err
				}
			}
			after, err := writtenTo(path)
			return float64(after-before) / (record * batch * batches), err
		}}
	}
	return []side{appending("fmmap", core.ViaEither), appending("through the map", core.ViaMap)}, nothing, nil
}

// openPut measures a Put to pages that are hot.
func openPut(c config) ([]side, func(), error) {
	var files []*core.File
	put := func(name string, via core.Via) (side, error) {
		path := filepath.Join(c.dir, "put-"+via.String())
		f, err := core.OpenFile(path, core.Options{Access: core.ReadWrite, Create: true, Size: cached, Stores: via})
		if err != nil {
			return side{}, err
		}
		files = append(files, f)
		puts := func(n int) error {
			for i := range int64(n) {
				if err := core.Put(f, i*8%(cached-8), binary.LittleEndian, uint64(i)); err != nil {
					return err
				}
			}
			return nil
		}
		return side{name, func() (float64, error) { return c.each(puts) }}, puts(cached)
	}
	closer := func() {
		for _, f := range files {
			_ = f.Close()
			os.Remove(f.Name())
		}
	}
	ours, err := put("fmmap", core.ViaEither)
	if err != nil {
		return nil, nil, err
	}
	mapped, err := put("through the map", core.ViaMap)
	return []side{ours, mapped}, closer, err
}
