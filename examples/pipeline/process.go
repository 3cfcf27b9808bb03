package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// A row of the table: the chunk's digest, its lines, and how often each byte
// occurs in it.
const row = sha256.Size + 8 + 256*8

// summary is the sum of all rows.
type summary struct {
	bytes, chunks, lines int64
	commonest            byte
	digest               [sha256.Size]byte
}

// piece is a chunk on its way from one stage to the next.
type piece struct {
	index int64
	pin   *core.Pin
}

// process runs the pipeline over one file.
func process(ctx context.Context, s settings, progress io.Writer) (sum summary, err error) {
	pool, err := async.NewPool(async.PoolOptions{})
	if err != nil {
		return sum, err
	}
	defer pool.Close()
	in, err := async.Open(ctx, pool, s.name, core.Options{}).Await(ctx)
	if err != nil {
		return sum, err
	}
	defer in.Close()
	size := in.Core().Len()
	chunks := (size + s.chunk - 1) / s.chunk
	table, err := async.Open(ctx, pool, s.out, core.Options{Access: core.ReadWrite, Create: true, Truncate: true, Size: chunks * row}).Await(ctx)
	if err != nil {
		return sum, err
	}
	defer func() {
		if err != nil {
			_ = table.Remove(context.WithoutCancel(ctx)).Wait() // an unfinished table is of no use
		}
		_ = table.Close()
	}()

	err = stages(ctx, s, in, table, chunks, progress)
	if progress != nil {
		fmt.Fprintln(progress)
	}
	if err != nil {
		return sum, err
	}
	sum, err = summarise(table.Core(), chunks)
	sum.bytes = size
	return sum, err
}

// stages runs the stages side by side and returns when the table is durable.
func stages(ctx context.Context, s settings, in, table *async.File, chunks int64, progress io.Writer) error {
	pieces := make(chan piece)
	var finished atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { // stage 1: chunks, loaded ahead
		defer close(pieces)
		return load(gctx, in, s, pieces)
	})
	for range s.workers { // stage 2: hash and count
		g.Go(func() error {
			for p := range pieces {
				if err := store(table, p); err != nil {
					return err
				}
				if n := finished.Add(1); progress != nil {
					fmt.Fprintf(progress, "\r%3d %%", 100*n/chunks)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return table.Flush().Wait() // all rows are stored: make them durable
}

// load sends the chunks of in to the channel to, in order. The stream releases
// its pin when the loop continues, so the worker that receives a chunk has a pin
// of its own.
func load(ctx context.Context, in *async.File, s settings, to chan<- piece) error {
	index := int64(0)
	for loaded, err := range in.Stream(ctx, 0, in.Core().Len(), s.chunk, s.ahead) {
		if err != nil {
			return err
		}
		pin, err := loaded.Slice(0, loaded.Len())
		if err != nil {
			return err
		}
		select {
		case to <- piece{index, pin}:
		case <-ctx.Done():
			pin.Release()
			return context.Cause(ctx)
		}
		index++
	}
	return nil
}

// store computes the row of a chunk and stores it in the table.
func store(table *async.File, p piece) error {
	defer p.pin.Release()
	var r [row]byte
	err := p.pin.Do(func(b []byte) error {
		digest := sha256.Sum256(b)
		copy(r[:], digest[:])
		binary.LittleEndian.PutUint64(r[sha256.Size:], uint64(bytes.Count(b, []byte{'\n'})))
		var counts [256]uint64
		for _, c := range b {
			counts[c]++
		}
		for c, n := range counts {
			binary.LittleEndian.PutUint64(r[sha256.Size+8+8*c:], n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return table.Core().Update(func(b []byte) error {
		copy(b[p.index*row:], r[:])
		return nil
	})
}

// summarise reads the table.
func summarise(table *core.File, chunks int64) (sum summary, err error) {
	sum.chunks = chunks
	err = table.View(func(b []byte) error {
		all := sha256.New()
		var counts [256]uint64
		for i := range chunks {
			r := b[i*row : (i+1)*row]
			all.Write(r[:sha256.Size])
			sum.lines += int64(binary.LittleEndian.Uint64(r[sha256.Size:]))
			for c := range counts {
				counts[c] += binary.LittleEndian.Uint64(r[sha256.Size+8+8*c:])
			}
		}
		for c, n := range counts {
			if n > counts[sum.commonest] {
				sum.commonest = byte(c)
			}
		}
		all.Sum(sum.digest[:0])
		return nil
	})
	return sum, err
}
