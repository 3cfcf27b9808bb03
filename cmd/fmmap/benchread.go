package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

const (
	readers   = 64
	small     = 4 << 10
	readAlone = "read(2) in a goroutine each"
)

// reads returns the rows of reads.
func (m *measurement) reads() (rows []benchRow) {
	for _, r := range []struct {
		name string
		n    int64
	}{{"cold/4k", small}, {"cold/64k", 64 << 10}} {
		rows = append(rows, benchRow{
			name: r.name, peer: readAlone,
			ours: func(d time.Duration) (float64, error) { return m.cold(d, async.PoolOptions{}, r.n) },
			by:   func(d time.Duration) (float64, error) { return m.coldAlone(d, r.n) },
		})
	}
	rows = append(rows, benchRow{name: "hot/4k", peer: "read(2)", ours: m.hot, by: m.hotAlone})
	for _, w := range widths {
		rows = append(rows, benchRow{
			name: fmt.Sprintf("page/%d", w),
			ours: func(d time.Duration) (float64, error) {
				return m.cold(d, async.PoolOptions{Page: async.LaneOptions{Width: w}}, small)
			},
		})
	}
	return rows
}

// blocks hands out the blocks of n bytes of a file in random order, each once, so
// that none is asked for that a read has brought into memory.
func blocks(size, n int64) func() (off int64, err error) {
	order := rand.New(rand.NewPCG(1, 2)).Perm(int(size / n))
	var next atomic.Int64
	return func() (int64, error) {
		i := next.Add(1) - 1
		if i >= int64(len(order)) {
			return 0, io.EOF
		}
		return int64(order[i]) * n, nil
	}
}

// cold has readers load blocks of n bytes that are not in memory.
func (m *measurement) cold(d time.Duration, o async.PoolOptions, n int64) (rate float64, err error) {
	size, err := m.chill(n)
	if err != nil {
		return 0, err
	}
	p, err := async.NewPool(o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	f, err := async.Open(m.ctx, p, m.name, looking).Await(m.ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	next := blocks(size, n)
	return m.rate(d, readers, func(int, *rand.Rand) error {
		off, err := next()
		if err != nil {
			return err
		}
		pin, err := f.Load(m.ctx, off, n).Await(m.ctx)
		if err != nil {
			return err
		}
		pin.Release()
		return nil
	})
}

func (m *measurement) coldAlone(d time.Duration, n int64) (rate float64, err error) {
	size, err := m.chill(n)
	if err != nil {
		return 0, err
	}
	f, err := os.Open(m.name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	next := blocks(size, n)
	bufs := make([]byte, readers*n)
	return m.rate(d, readers, func(w int, _ *rand.Rand) error {
		off, err := next()
		if err != nil {
			return err
		}
		_, err = f.ReadAt(bufs[int64(w)*n:int64(w+1)*n], off)
		return err
	})
}

// chill drops the file from memory and returns its length. It fails with
// errMissing if the file has less than one block of n bytes, or stays.
func (m *measurement) chill(n int64) (size int64, err error) {
	if err := dropPages(m.name); errors.Is(err, errors.ErrUnsupported) {
		return 0, fmt.Errorf("%w: %w", errMissing, err)
	} else if err != nil {
		return 0, err
	}
	f, err := openRegular(m.name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if info.Size() < n {
		return 0, fmt.Errorf("%w: the file is shorter than %d bytes", errMissing, n)
	}
	r := report{Size: info.Size()}
	if err := r.residency(f); err != nil {
		return 0, fmt.Errorf("%w: what is in memory is unknown: %w", errMissing, err)
	}
	if *r.Resident > r.Size/10 {
		return 0, fmt.Errorf("%w: %d %% of the file stays in memory", errMissing, *r.Resident*100/r.Size)
	}
	return r.Size, nil
}

// hot reads blocks that are in memory: those at the beginning of the file.
func (m *measurement) hot(d time.Duration) (rate float64, err error) {
	f, err := core.OpenFile(m.name, looking)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return m.hotBy(d, f, f.Len())
}

func (m *measurement) hotAlone(d time.Duration) (rate float64, err error) {
	f, err := openRegular(m.name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return m.hotBy(d, f, info.Size())
}

func (m *measurement) hotBy(d time.Duration, f io.ReaderAt, size int64) (float64, error) {
	n := min(size, 4<<20) / small
	if n == 0 {
		return 0, fmt.Errorf("%w: the file is shorter than %d bytes", errMissing, small)
	}
	buf := make([]byte, small)
	for i := range n {
		if _, err := f.ReadAt(buf, i*small); err != nil {
			return 0, err
		}
	}
	const batch = 64 // since reading the clock takes as long as a read does
	rate, err := m.rate(d, 1, func(_ int, rng *rand.Rand) error {
		for range batch {
			if _, err := f.ReadAt(buf, rng.Int64N(n)*small); err != nil {
				return err
			}
		}
		return nil
	})
	return batch * rate, err
}
