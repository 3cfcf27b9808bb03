package main

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// A benchRow is one row of bench: the work done by this library, and the same
// by system calls, if there is such a thing.
type benchRow struct {
	name, peer string
	ours, by   func(d time.Duration) (float64, error) // calls per second in about d
}

func (r benchRow) sides() []func(time.Duration) (float64, error) {
	if r.by == nil {
		return []func(time.Duration) (float64, error){r.ours}
	}
	return []func(time.Duration) (float64, error){r.ours, r.by}
}

// A measurement is one run of bench.
type measurement struct {
	ctx  context.Context
	name string        // the file
	dir  string        // for what is written; "" means that nothing is
	each time.Duration // for one side of a row
}

// errMissing marks what cannot be measured here, with the reason.
var errMissing = errors.New("not measured")

// row measures a row.
func (m *measurement) row(r benchRow) (figure, error) {
	f := figure{Row: r.name, Peer: r.peer}
	var rates [2]float64
	for i, side := range r.sides() {
		rate, err := side(m.each)
		if errors.Is(err, errMissing) || errors.Is(err, errors.ErrUnsupported) {
			return figure{Row: r.name, Missing: err.Error()}, nil
		}
		if err != nil {
			return f, err
		}
		rates[i] = math.Round(rate)
	}
	f.PerSecond, f.Beside = rates[0], rates[1]
	if f.Beside > 0 {
		f.Ratio = math.Round(100*f.PerSecond/f.Beside) / 100
	}
	return f, nil
}

// fill writes the new file: no page is like another, so that a file system which
// compresses has nothing to gain.
func (m *measurement) fill(size int64, progress func(done int64)) error {
	f, err := os.OpenFile(m.name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	rng := rand.NewChaCha8([32]byte{1})
	buf := make([]byte, 1<<20)
	for done := int64(0); done < size; {
		if err := m.ctx.Err(); err != nil {
			return context.Cause(m.ctx)
		}
		n := min(int64(len(buf)), size-done)
		rng.Read(buf[:n]) // never fails
		if _, err := f.Write(buf[:n]); err != nil {
			return err
		}
		done += n
		progress(done)
	}
	return f.Sync()
}

// rate runs n goroutines, each of which calls do until the time is over or do
// returns io.EOF, and returns the calls per second.
func (m *measurement) rate(d time.Duration, n int, do func(worker int, rng *rand.Rand) error) (float64, error) {
	var calls atomic.Int64
	g, ctx := errgroup.WithContext(m.ctx)
	began := time.Now()
	for w := range n {
		g.Go(func() error {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			done := int64(0)
			defer func() { calls.Add(done) }()
			for ctx.Err() == nil && time.Since(began) < d {
				if err := do(w, rng); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
				done++
			}
			return nil
		})
	}
	err := g.Wait()
	return float64(calls.Load()) / time.Since(began).Seconds(), err
}
