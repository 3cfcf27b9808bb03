package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fmmap-go/fmmap/examples/reclog"
)

const (
	appenders  = 64
	readers    = 4
	recordSize = 256
)

// outcome is the result of one way of appending.
type outcome struct {
	records, msyncs int64
	reads           int64
	took            time.Duration
	longest         time.Duration
	size            int64
}

func (o outcome) rate() float64 { return float64(o.records) / o.took.Seconds() }

func (o outcome) print(out io.Writer, way string) {
	fmt.Fprintf(out, "  %-14s %8.0f records/s, %6d msyncs, longest wait %v; file grown to %d MiB under %d reads\n",
		way, o.rate(), o.msyncs, o.longest.Round(time.Millisecond), o.size>>20, o.reads)
}

// appendFor appends for the time d while readers pin records of the growing
// file.
func appendFor(ctx context.Context, name string, alone bool, d time.Duration) (o outcome, err error) {
	l, err := reclog.Open(ctx, name, reclog.Options{Grow: 1 << 20, Alone: alone})
	if err != nil {
		return o, err
	}
	defer func() {
		if cerr := l.Close(); err == nil {
			err = cerr
		}
	}()
	var reads atomic.Int64
	longest := make([]time.Duration, appenders)
	begin := time.Now()
	end := begin.Add(d)
	g, ctx := errgroup.WithContext(ctx)
	for a := range appenders {
		g.Go(func() error {
			for n := 0; time.Now().Before(end); n++ {
				start := time.Now()
				if _, err := l.Append(ctx, record(a, n)); err != nil {
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
	o = outcome{records: int64(l.Last()), took: time.Since(begin), reads: reads.Load(), size: l.File().Core().Len()}
	for _, w := range longest {
		o.longest = max(o.longest, w)
	}
	o.msyncs = o.records
	if !alone {
		o.msyncs = l.File().Stats().Flush.Batches
	}
	return o, nil
}

// read pins a durable record for a millisecond, checks it and releases it.
func read(ctx context.Context, l *reclog.Log) error {
	last := l.Last()
	if last == 0 {
		return nil
	}
	r, err := l.Read(ctx, rand.Uint64N(last)+1)
	if err != nil {
		return err
	}
	defer r.Release()
	t := time.NewTimer(time.Millisecond)
	defer t.Stop()
	<-t.C
	return whole(r.Bytes())
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
func verify(ctx context.Context, name string) (n int, err error) {
	l, err := reclog.Open(ctx, name, reclog.Options{})
	if err != nil {
		return 0, err
	}
	defer l.Close()
	for r, err := range l.All(ctx, 1) {
		if err != nil {
			return n, err
		}
		if err := r.Do(whole); err != nil {
			return n, fmt.Errorf("record %d: %w", r.Seq, err)
		}
		n++
	}
	return n, nil
}
