package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/wal"
)

const (
	storeSize  = 64  // bytes of a store in commit/N and files/W
	recordSize = 256 // bytes of a record in append/N
	writeAlone = "write + fsync each"
)

// writes returns the rows of durable writes.
func (m *measurement) writes() (rows []benchRow) {
	for _, n := range []int{1, 8, 64} {
		rows = append(rows, benchRow{
			name: fmt.Sprintf("commit/%d", n), peer: writeAlone,
			ours: func(d time.Duration) (float64, error) { return m.commit(d, n) },
			by:   func(d time.Duration) (float64, error) { return m.commitAlone(d, n) },
		})
	}
	for _, n := range []int{1, 64} {
		rows = append(rows, benchRow{
			name: fmt.Sprintf("append/%d", n), peer: writeAlone,
			ours: func(d time.Duration) (float64, error) { return m.append(d, n) },
			by:   func(d time.Duration) (float64, error) { return m.appendAlone(d, n) },
		})
	}
	for _, w := range widths {
		rows = append(rows, benchRow{
			name: fmt.Sprintf("files/%d", w),
			ours: func(d time.Duration) (float64, error) { return m.files(d, w) },
		})
	}
	return rows
}

// commit has n callers store to a page each and share flushes.
func (m *measurement) commit(d time.Duration, n int) (rate float64, err error) {
	f, err := core.OpenFile(m.name, core.Options{Access: core.ReadWrite})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	c := flush.NewCommitter(f, flush.Options{})
	defer func() { err = errors.Join(err, c.Close()) }()
	return m.rate(d, n, func(w int, _ *rand.Rand) error {
		off := place(w, f.Len())
		if _, err := f.WriteAt(make([]byte, storeSize), off); err != nil {
			return err
		}
		return c.Flush(m.ctx, off, storeSize)
	})
}

func (m *measurement) commitAlone(d time.Duration, n int) (rate float64, err error) {
	f, err := os.OpenFile(m.name, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return m.rate(d, n, func(w int, _ *rand.Rand) error {
		if _, err := f.WriteAt(make([]byte, storeSize), place(w, info.Size())); err != nil {
			return err
		}
		return f.Sync()
	})
}

// place returns where caller w stores in a file of this length: each has a page.
func place(w int, size int64) int64 {
	page := int64(os.Getpagesize())
	return int64(w) * page % (size - page)
}

// append has n callers append to a log of this library.
func (m *measurement) append(d time.Duration, n int) (rate float64, err error) {
	dir := filepath.Join(m.dir, fmt.Sprintf("log-%d", n))
	l, err := wal.Open(m.ctx, dir, wal.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close(), os.RemoveAll(dir)) }()
	// The first record waits for the first segment.
	if _, err := l.Write(m.ctx, make([]byte, recordSize)); err != nil {
		return 0, err
	}
	return m.rate(d, n, func(int, *rand.Rand) error {
		_, err := l.Write(m.ctx, make([]byte, recordSize))
		return err
	})
}

func (m *measurement) appendAlone(d time.Duration, n int) (rate float64, err error) {
	f, err := os.Create(filepath.Join(m.dir, "appended"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	var mu sync.Mutex
	return m.rate(d, n, func(int, *rand.Rand) error {
		mu.Lock()
		defer mu.Unlock()
		if _, err := f.Write(make([]byte, recordSize)); err != nil {
			return err
		}
		return f.Sync()
	})
}

// files has 64 callers commit to four files over a pool that flushes as many of
// them at a time as width says.
func (m *measurement) files(d time.Duration, width int) (rate float64, err error) {
	const count, size = 4, 1 << 20
	p, err := async.NewPool(async.PoolOptions{Flush: async.LaneOptions{Width: width}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	var files [count]*async.File
	for i := range files {
		name := filepath.Join(m.dir, fmt.Sprintf("file-%d", i))
		if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
			return 0, err
		}
		files[i], err = async.Open(m.ctx, p, name, core.Options{Access: core.ReadWrite, RemoveOnClose: true}).Await(m.ctx)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, files[i].Close()) }()
	}
	return m.rate(d, 64, func(w int, _ *rand.Rand) error {
		f := files[w%count]
		off := place(w, size)
		if err := f.WriteAt(m.ctx, make([]byte, storeSize), off).Wait(); err != nil {
			return err
		}
		return f.FlushRange(off, storeSize).Wait()
	})
}
