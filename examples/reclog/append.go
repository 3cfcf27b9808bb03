package reclog

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io/fs"

	"github.com/fmmap-go/fmmap/async"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum covers the sequence number too, so that an old record is never taken for a new one.
func checksum(seq uint64, rec []byte) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], seq)
	return crc32.Update(crc32.Checksum(b[:], castagnoli), castagnoli, rec)
}

// Append stores a record and returns when it is durable. When ctx is done first the record may become durable all the same.
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

// Start stores a record and returns a future that resolves when it, and every earlier one, is durable. It waits only
// when the file has to grow first.
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
		case s.room != nil:
			if _, err := s.room.Await(ctx); err != nil {
				return Entry{}, nil, err
			}
		case l.opts.Alone:
			return s.entry, l.flushAlone(s), nil
		default:
			return s.entry, s.flush, nil
		}
	}
}

// stored is what became of a record, or what it has to wait for first.
type stored struct {
	entry      Entry
	flush      *async.Future[struct{}]
	since, end int64 // what is not known to be durable up to this record
	room       *async.Future[struct{}]
}

// store puts the record at the tail and joins the batch that forms. Both happen under the mutex, so that batches are
// joined in the order of the records: one that is done leaves no earlier record behind.
func (l *Log) store(rec []byte) (s stored, err error) {
	need := footprint(int64(len(rec)))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return s, fs.ErrClosed
	}
	size := l.file.Core().Len()
	if l.tail+need > size-l.opts.Grow/2 {
		l.grow(size, need) // ahead of time, if only just
	}
	if l.tail+need > size {
		return stored{room: l.growing}, nil
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
		s.since, s.end = l.places[l.settle()].off-recordHeader, l.tail
		return s, nil
	}
	s.flush = l.file.FlushRange(from, need)
	l.settle()
	if n := len(l.pending); n > 0 && l.pending[n-1].flush == s.flush {
		l.pending[n-1].seq = s.entry.Seq
	} else {
		l.pending = append(l.pending, pending{s.entry.Seq, s.flush})
	}
	return s, nil
}

// flushAlone is the msync of one record. It covers the earlier ones that are not known to be durable: nobody
// else answers for them.
func (l *Log) flushAlone(s stored) *async.Future[struct{}] {
	if err := l.file.Core().FlushRange(s.since, s.end-s.since); err != nil {
		return async.Failed[struct{}](err)
	}
	l.mu.Lock()
	l.durable = max(l.durable, s.entry.Seq)
	l.mu.Unlock()
	return async.Ready(struct{}{})
}

// settle looks which flushes are over and returns up to which record everything is durable. The mutex is held.
func (l *Log) settle() uint64 {
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

// grow starts making the file longer, once at a time. The mutex is held.
func (l *Log) grow(size, need int64) {
	if l.growing != nil {
		if _, _, over := l.growing.TryResult(); !over {
			return
		}
	}
	l.growing = l.file.Truncate(context.Background(), size+max(l.opts.Grow, need))
}
