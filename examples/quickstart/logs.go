package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fmmap-go/fmmap/wal"
)

const (
	appenders   = 64
	readers     = 4
	recordSize  = 256
	segmentSize = 4 << 20 // small, so that the log is seen to grow
)

// outcome is the result of one way of appending.
type outcome struct {
	records, msyncs uint64
	reads           int64
	took            time.Duration
	longest         time.Duration
	segments        int
}

func (o outcome) rate() float64 { return float64(o.records) / o.took.Seconds() }

func (o outcome) print(out io.Writer, way string) {
	fmt.Fprintf(out, "  %-14s %8.0f records/s, %6d msyncs, longest wait %v; log grown to %d MiB under %d reads\n",
		way, o.rate(), o.msyncs, o.longest.Round(time.Millisecond), o.segments*segmentSize>>20, o.reads)
}

// appendFor appends for the time d while readers pin records of the growing
// log.
func appendFor(ctx context.Context, dir string, alone bool, d time.Duration) (o outcome, err error) {
	l, err := wal.Open(ctx, dir, wal.Options{SegmentSize: segmentSize})
	if err != nil {
		return o, err
	}
	defer func() {
		if cerr := l.Close(); err == nil {
			err = cerr
		}
	}()
	add := func(record []byte) error {
		_, err := l.Append(record).Await(ctx) // shares an msync with the others
		return err
	}
	if alone {
		var mu sync.Mutex
		add = func(record []byte) error {
			mu.Lock()
			defer mu.Unlock()
			_, err := l.Write(ctx, record)
			return err
		}
	}
	if err := add(record(0, 0)); err != nil { // there is something to read
		return o, err
	}
	var reads atomic.Int64
	longest := make([]time.Duration, appenders)
	begin := time.Now()
	end := begin.Add(d)
	g, ctx := errgroup.WithContext(ctx)
	for a := range appenders {
		g.Go(func() error {
			for n := 1; time.Now().Before(end); n++ {
				start := time.Now()
				if err := add(record(a, n)); err != nil {
					return err
				}
				longest[a] = max(longest[a], time.Since(start))
			}
			return nil
		})
	}
	for range readers {
		g.Go(func() error {
			for ctx.Err() == nil && time.Now().Before(end) {
				if err := read(ctx, l); err != nil {
					return err
				}
				reads.Add(1)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return o, err
	}
	s := l.Stats()
	o = outcome{records: s.Records, msyncs: s.Commits, took: time.Since(begin), reads: reads.Load(), segments: s.Segments}
	for _, w := range longest {
		o.longest = max(o.longest, w)
	}
	return o, nil
}

// read pins a durable record for a millisecond, checks it and releases it.
func read(ctx context.Context, l *wal.Log) error {
	pin, err := l.Load(ctx, rand.Uint64N(l.Last())+1).Await(ctx)
	if err != nil {
		return err
	}
	defer pin.Release()
	t := time.NewTimer(time.Millisecond)
	defer t.Stop()
	<-t.C
	return pin.Do(whole)
}

// record returns record n of appender a: a text that [whole] can check.
func record(a, n int) []byte {
	b := fmt.Appendf(make([]byte, 0, recordSize), "appender %d, record %d ", a, n)
	return append(b, bytes.Repeat([]byte{'.'}, recordSize-len(b))...)
}

var errWrong = errors.New("a record differs from what was appended")

func whole(b []byte) error {
	var a, n int
	if _, err := fmt.Sscanf(string(b), "appender %d, record %d", &a, &n); err != nil || !bytes.Equal(b, record(a, n)) {
		return errWrong
	}
	return nil
}

// verify opens a log again and reads every record.
func verify(ctx context.Context, dir string) (n int, err error) {
	l, err := wal.Open(ctx, dir, wal.Options{SegmentSize: segmentSize})
	if err != nil {
		return 0, err
	}
	defer l.Close()
	for r, err := range l.Range(ctx, 1) {
		if err == nil {
			err = whole(r.Data)
		}
		if err != nil {
			return n, fmt.Errorf("record %d: %w", r.Index, err)
		}
		n++
	}
	return n, nil
}
