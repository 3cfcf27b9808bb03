package reclog

import (
	"context"
	"fmt"
	"io/fs"
	"iter"

	"github.com/fmmap-go/fmmap/core"
)

// Record is a durable record. Its bytes are those of the map, in memory, until
// Release.
type Record struct {
	Entry
	pin *core.Pin
}

// Bytes returns the bytes of the record, valid until Release.
func (r *Record) Bytes() []byte { return r.pin.Bytes() }

// Do calls fn with the bytes of the record; a fault during fn is an error. See
// [core.Pin.Do].
func (r *Record) Do(fn func(b []byte) error) error { return r.pin.Do(fn) }

// Release ends the use of the record's bytes.
func (r *Record) Release() { r.pin.Release() }

// Read returns a durable record once it is in memory, or [ErrNotFound]. It
// waits for the disk without holding a processor.
func (l *Log) Read(ctx context.Context, seq uint64) (*Record, error) {
	l.mu.Lock()
	durable := l.updateDurable()
	if l.closed {
		l.mu.Unlock()
		return nil, fs.ErrClosed
	}
	if seq == 0 || seq > durable {
		l.mu.Unlock()
		return nil, fmt.Errorf("%w: %d, there are %d", ErrNotFound, seq, durable)
	}
	p := l.places[seq-1]
	l.mu.Unlock()
	pin, err := l.file.Load(ctx, p.off, p.n).Await(ctx)
	if err != nil {
		return nil, err
	}
	return &Record{Entry{seq, p.off}, pin}, nil
}

// All yields the durable records from a sequence number on, in order. Each is
// released when the loop continues; an error ends it.
func (l *Log) All(ctx context.Context, from uint64) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for seq := max(from, 1); seq <= l.Last(); seq++ {
			r, err := l.Read(ctx, seq)
			if err != nil {
				yield(nil, err)
				return
			}
			more := yield(r, nil)
			r.Release()
			if !more {
				return
			}
		}
	}
}
