package reclog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"

	"github.com/fmmap-go/fmmap/async"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum covers the sequence number too, so that an old record is never taken
// for a new one.
func checksum(seq uint64, rec []byte) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], seq)
	return crc32.Update(crc32.Checksum(b[:], castagnoli), castagnoli, rec)
}

// Append stores a record and returns when it is durable. If ctx is done first,
// Append returns, and the record may still become durable.
func (l *Log) Append(ctx context.Context, rec []byte) (Entry, error) {
	e, flushed, err := l.Start(ctx, rec)
	if err != nil {
		return Entry{}, err
	}
	if _, err := flushed.Await(ctx); err != nil {
		return Entry{}, err
	}
	return e, nil
}

// Start stores a record and returns a future that resolves when it, and every
// earlier one, is durable. It waits only when the file has to grow first.
func (l *Log) Start(ctx context.Context, rec []byte) (Entry, *async.Future[struct{}], error) {
	switch n := int64(len(rec)); {
	case n == 0:
		return Entry{}, nil, ErrEmpty
	case n > l.opts.MaxRecord:
		return Entry{}, nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, n, l.opts.MaxRecord)
	}
	for {
		s, err := l.store(rec)
		switch {
		case err != nil:
			return Entry{}, nil, err
		case s.room.future != nil:
			if err := s.room.await(ctx, footprint(int64(len(rec)))); err != nil {
				return Entry{}, nil, err
			}
		case l.opts.Alone:
			return s.entry, l.flushAlone(s), nil
		default:
			return s.entry, s.flush, nil
		}
	}
}

// stored is the result of store: the place of the record, or the growth that it
// has to wait for.
type stored struct {
	entry      Entry
	flush      *async.Future[struct{}]
	since, end int64 // the bytes, up to the record's end, that are not known to be durable
	room       growth
}

// store puts the record at the tail and joins the forming batch. Both happen
// under the mutex, so that batches are joined in the order of the records: when
// one is durable, so are all before it.
func (l *Log) store(rec []byte) (s stored, err error) {
	need := footprint(int64(len(rec)))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return s, fs.ErrClosed
	}
	size := l.file.Core().Len()
	full := l.tail+need > size
	ahead := l.step == l.opts.Grow && l.tail+need > size-l.opts.Grow/2
	if full || ahead {
		l.grow(size, need)
	}
	if full {
		return stored{room: l.growth}, nil
	}
	s.entry = Entry{Seq: uint64(len(l.places)) + 1, Offset: l.tail + recordHeader}
	err = l.file.Core().Update(func(b []byte) error {
		h := b[l.tail : l.tail+recordHeader]
		binary.LittleEndian.PutUint32(h, uint32(len(rec)))
		binary.LittleEndian.PutUint32(h[4:], checksum(s.entry.Seq, rec))
		binary.LittleEndian.PutUint64(h[8:], s.entry.Seq)
		copy(b[s.entry.Offset:], rec)
		return nil
	})
	if err != nil {
		return s, err
	}
	from := l.tail
	l.tail += need
	l.places = append(l.places, place{s.entry.Offset, int64(len(rec))})
	if l.opts.Alone {
		s.since, s.end = l.places[l.updateDurable()].off-recordHeader, l.tail
		return s, nil
	}
	s.flush = l.file.FlushRange(from, need)
	l.updateDurable()
	if n := len(l.pending); n > 0 && l.pending[n-1].flush == s.flush {
		l.pending[n-1].seq = s.entry.Seq
	} else {
		l.pending = append(l.pending, pending{s.entry.Seq, s.flush})
	}
	return s, nil
}

// flushAlone flushes one record, and with it the earlier ones that are not
// known to be durable: a record is durable only when all before it are.
func (l *Log) flushAlone(s stored) *async.Future[struct{}] {
	if err := l.file.Core().FlushRange(s.since, s.end-s.since); err != nil {
		return async.Failed[struct{}](err)
	}
	l.mu.Lock()
	l.durable = max(l.durable, s.entry.Seq)
	l.mu.Unlock()
	return async.Ready(struct{}{})
}

// updateDurable removes the flushes that are over from l.pending and returns
// the sequence number up to which everything is durable. l.mu is held.
func (l *Log) updateDurable() uint64 {
	n := 0
	for _, p := range l.pending {
		_, err, over := p.flush.TryResult()
		if !over {
			break
		}
		if err == nil {
			l.durable = max(l.durable, p.seq)
		}
		n++
	}
	l.pending = append(l.pending[:0], l.pending[n:]...)
	return l.durable
}

// growth is a growth of the file.
type growth struct {
	future *async.Future[struct{}]
	by     int64
}

// await waits for the growth on behalf of a record that needs so many bytes. It
// is no error that the growth failed if a smaller one may succeed, which the
// next call of store starts.
func (g growth) await(ctx context.Context, need int64) error {
	_, err := g.future.Await(ctx)
	switch {
	case err == nil || ctx.Err() != nil || !noRoom(err):
		return err
	case g.by > need:
		return nil
	default:
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
}

// noRoom reports whether a growth failed because the system refused it, as on a
// full disk or past a limit, and not because the file or the pool could not
// take the task.
func noRoom(err error) bool {
	for _, other := range []error{fs.ErrClosed, async.ErrClosed, async.ErrOverloaded, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}

// grow starts to make the file longer, one growth at a time. After a growth
// that the disk had no room for it tries half as much, down to what the record
// needs; after one that succeeded twice as much, up to opts.Grow. l.mu is held.
func (l *Log) grow(size, need int64) {
	if l.growth.future != nil {
		_, err, over := l.growth.future.TryResult()
		switch {
		case !over:
			return
		case err == nil:
			l.step = min(2*l.growth.by, l.opts.Grow)
		case noRoom(err):
			l.step = min(l.growth.by/2, l.opts.Grow)
		}
	}
	by := max(l.step, need)
	l.growth = growth{l.file.Truncate(context.Background(), size+by), by}
}
