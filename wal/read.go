package wal

import (
	"context"
	"fmt"
	"io/fs"
	"iter"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// A place is the part of a segment that holds a record, together with those
// that share its entry of the segment's index.
type place struct {
	file     *async.File
	seg      *segment
	off, end int64
	from     uint64 // index of the first record there
	index    uint64 // of the record
	last     uint64 // index of the last record there that may be read
}

// locate finds where a durable record is. Its segment is mapped then.
func (l *Log) locate(index uint64) (place, error) { return l.locateRun(index, index, 0) }

// locateRun is locate for the records from index to last, or for the first of
// them: the run ends with the segment, or with the first part between entries of
// its index that makes the run n bytes long.
func (l *Log) locateRun(index, last uint64, n int64) (place, error) {
	for {
		l.mu.RLock()
		if l.closed {
			l.mu.RUnlock()
			return place{}, fs.ErrClosed
		}
		if index < l.meta.first || index > l.durable.Load() {
			l.mu.RUnlock()
			return place{}, ErrNotFound
		}
		s := l.find(index)
		if s == nil {
			l.mu.RUnlock()
			return place{}, ErrNotFound
		}
		s.used.Store(l.clock.Add(1))
		if s.file != nil {
			k := before(s.marks, index-s.first)
			p := place{file: s.file, seg: s, index: index, from: s.first + uint64(s.marks[k].record), off: s.marks[k].off()}
			// TruncateBack may hide records at any moment.
			last = min(last, s.last(), l.durable.Load())
			for more := true; more; {
				k++
				p.last, p.end = last, s.end
				if k < len(s.marks) {
					p.last, p.end = min(last, s.first+uint64(s.marks[k].record)-1), s.marks[k].off()
				}
				more = p.last < last && p.end-p.off < n
			}
			l.mu.RUnlock()
			return p, nil
		}
		l.mu.RUnlock()
		if err := l.openSegment(s); err != nil {
			return place{}, err
		}
	}
}

// openSegment maps a segment that is not mapped, and loads its index unless that
// is known: a tail that is being cut has one in memory only.
func (l *Log) openSegment(s *segment) error {
	l.mu.RLock()
	mapped := &segment{header: s.header, name: s.name, count: s.count, end: s.end, marks: s.marks}
	l.mu.RUnlock()
	f, err := mapSegment(l.pool(), s.name, core.ReadOnly)
	if err != nil {
		return err
	}
	mapped.file = f
	if mapped.marks == nil {
		err = mapped.readIndex()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || l.closed || s.dead || s.file != nil || s.end != mapped.end {
		f.StartClose(context.Background()) // it has no users: it closes at once
		return err
	}
	s.file, s.marks = f, mapped.marks
	l.closeIdle()
	return nil
}

// readIndex reads the trailer and the index of a sealed segment that is mapped.
func (s *segment) readIndex() error {
	f := s.file.Core()
	if f.Len() < s.size {
		return &CorruptError{s.name, f.Len(), fmt.Sprintf("the file is not %d bytes long", s.size)}
	}
	b := make([]byte, trailerSize)
	if _, err := f.ReadAt(b, s.size-trailerSize); err != nil {
		return err
	}
	t, ok := decodeTrailer(b, s.header)
	if !ok || t.count != s.count || t.end != s.end {
		return &CorruptError{s.name, s.size - trailerSize, "the trailer is damaged"}
	}
	return s.loadIndex(t.index)
}

// closeIdle closes the mappings of the sealed segments that were used least
// recently, beyond Options.OpenSegments. Pins keep their bytes mapped. l.mu is
// held.
func (l *Log) closeIdle() {
	for {
		open, oldest := 0, (*segment)(nil)
		for _, s := range l.segments {
			if s.sealed && s.file != nil {
				if open++; oldest == nil || s.used.Load() < oldest.used.Load() {
					oldest = s
				}
			}
		}
		if open <= l.opts.OpenSegments {
			return
		}
		oldest.unmap()
		oldest.marks = nil
	}
}

// record walks the frames at the start of b, which is the place, to the record,
// and returns where in b that lies.
func (p place) record(b []byte, verify bool) (off, n int64, err error) {
	for i := p.from; ; i++ {
		if off+frameHeader > int64(len(b)) {
			return 0, 0, p.corrupt(off, "the frames end before the record")
		}
		f := readFrame(b[off:])
		size := frameSize(int64(f.length))
		if f.index != uint16(i) || size > int64(len(b))-off {
			return 0, 0, p.corrupt(off, "the frame is damaged")
		}
		if i == p.index {
			if verify && checksum(b[off:], p.seg.sum, f) != f.sum {
				return 0, 0, p.corrupt(off, "the checksum does not match")
			}
			return off + frameHeader, int64(f.length), nil
		}
		off += size
	}
}

func (p place) corrupt(off int64, reason string) error {
	return &CorruptError{p.seg.name, p.off + off, reason}
}

// pin returns a pin of the record's bytes alone, given one of the place.
func (p place) pin(around *core.Pin, verify bool) (record *core.Pin, err error) {
	var off, n int64
	err = around.Do(func(b []byte) (err error) {
		off, n, err = p.record(b, verify)
		return err
	})
	if err != nil {
		return nil, err
	}
	return around.Slice(off, n)
}

// Load returns a future of the record with the given index, pinned in memory,
// without a copy. The pin is the caller's to release; until then the record's
// segment stays mapped, and TruncateBack and Close wait for it. Records that are
// in memory come at once, cold ones through the pager, so that no processor is
// held. ctx ends the work.
//
// The checksum is verified, unless Options.NoVerify is set. A record that the
// log does not hold is [ErrNotFound].
func (l *Log) Load(ctx context.Context, index uint64) *async.Future[*core.Pin] {
	for {
		p, err := l.locate(index)
		if err != nil {
			return async.Failed[*core.Pin](err)
		}
		if around, ok := p.file.TryLoad(p.off, p.end-p.off); ok {
			record, err := p.pin(around, !l.opts.NoVerify)
			around.Release()
			if err != nil && l.remapped(p) {
				continue
			}
			if err != nil {
				return async.Failed[*core.Pin](err)
			}
			return async.Ready(record)
		}
		cold := p.file.Load(ctx, p.off, p.end-p.off)
		if cold.Err() != nil && ctx.Err() == nil && l.remapped(p) {
			continue
		}
		return async.Then(ctx, l.pool(), cold, func(ctx context.Context, around *core.Pin) (*core.Pin, error) {
			defer around.Release()
			record, err := p.pin(around, !l.opts.NoVerify)
			if err != nil && l.remapped(p) {
				record, err = l.loadAgain(index)
			}
			if err == nil && ctx.Err() != nil {
				record.Release() // it is not waited for any more
				return nil, context.Cause(ctx)
			}
			return record, err
		})
	}
}

// loadAgain is Load for a record that has just been brought in, by a mapping
// that was replaced meanwhile. It waits in a system call for pages that were
// evicted since.
func (l *Log) loadAgain(index uint64) (*core.Pin, error) {
	for {
		p, err := l.locate(index)
		if err != nil {
			return nil, err
		}
		around, err := p.file.Core().Pin(p.off, p.end-p.off)
		if err == nil {
			var record *core.Pin
			if err = around.Populate(); err == nil {
				record, err = p.pin(around, !l.opts.NoVerify)
			}
			around.Release()
			if err == nil {
				return record, nil
			}
		}
		if !l.remapped(p) {
			return nil, err
		}
	}
}

// Read appends a copy of the record with the given index to buf and returns the
// result. It has the errors of Load. Cold bytes are waited for in the calling
// goroutine, which gives its processor away.
func (l *Log) Read(index uint64, buf []byte) ([]byte, error) {
	for {
		p, err := l.locate(index)
		if err != nil {
			return buf, err
		}
		around, ok := p.file.TryLoad(p.off, p.end-p.off)
		if !ok {
			around, err = p.file.Load(context.Background(), p.off, p.end-p.off).Await(context.Background())
			if err != nil {
				if l.remapped(p) {
					continue
				}
				return buf, err
			}
		}
		err = around.Do(func(b []byte) error {
			off, size, err := p.record(b, !l.opts.NoVerify)
			if err == nil {
				buf = append(buf, b[off:off+size]...)
			}
			return err
		})
		around.Release()
		return buf, err
	}
}

// remapped reports whether the mapping of a place was closed after it had been
// located, to be replaced by another.
func (l *Log) remapped(p place) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return !l.closed && p.seg.file != p.file
}

// A Record is a record in place, as Range and Tail yield it.
type Record struct {
	Index uint64
	// Data is the record's bytes in the map. They are in memory, and valid until
	// the loop goes on. The loop is no guard against another process that shortens
	// the file, as Do of the pin that [Log.Load] returns is.
	Data []byte
}

const (
	rangeChunk  = 256 << 10 // bytes that Range brings in and pins together
	chunksAhead = 4         // that it brings in ahead
)

// Range yields the durable records in order, beginning with the index from, up to
// the last one at the time when it began. Later records are read ahead. An error ends
// the sequence. The log may be appended to and truncated meanwhile: a record
// that is gone when its turn comes is [ErrNotFound].
func (l *Log) Range(ctx context.Context, from uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		l.rangeTo(ctx, from, l.durable.Load(), yield)
	}
}

// Tail yields the durable records from the index from on, and waits for those
// that do not exist yet, until ctx is done or the log is closed: the sequence
// ends with the cause, or [fs.ErrClosed]. Waiting costs no polling. A sequence
// does not go back: when TruncateBack removes records that it has yielded, the
// records appended in their place are not yielded.
func (l *Log) Tail(ctx context.Context, from uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for {
			last := l.durable.Load()
			if !l.rangeTo(ctx, from, last, yield) {
				return
			}
			from = max(from, last+1)
			if err := l.await(ctx, from); err != nil {
				yield(Record{}, err)
				return
			}
		}
	}
}

// await waits until the record with the given index is durable.
func (l *Log) await(ctx context.Context, index uint64) error {
	for {
		l.mu.RLock() // held until this waits for arrived: Close sets closed, and wakes
		l.waiting.Lock()
		closed := l.closed
		l.mu.RUnlock()
		switch {
		case l.durable.Load() >= index:
			l.waiting.Unlock()
			return nil
		case closed:
			l.waiting.Unlock()
			return fs.ErrClosed
		}
		if err := l.failed(); err != nil {
			l.waiting.Unlock()
			return err
		}
		if l.arrived == nil {
			l.arrived = make(chan struct{})
		}
		arrived := l.arrived
		l.waiting.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// A chunk is a run of records of one segment that is brought in together.
type chunk struct {
	place
	load *async.Future[*core.Pin]
}

// rangeTo yields the records from from to last, and reports whether the caller
// wants more: not after an error, which it has yielded.
func (l *Log) rangeTo(ctx context.Context, from, last uint64, yield func(Record, error) bool) (more bool) {
	for more = true; more && from <= last; {
		from, more = l.rangeAhead(ctx, from, last, yield)
	}
	return more
}

// rangeAhead is rangeTo until a mapping is replaced that was to be read next. It
// returns where to go on.
func (l *Log) rangeAhead(ctx context.Context, from, last uint64, yield func(Record, error) bool) (next uint64, more bool) {
	loading, cancel := context.WithCancel(ctx)
	var ahead []chunk
	defer func() {
		cancel() // pins that arrive from now on are released
		for _, c := range ahead {
			if pin, err, ok := c.load.TryResult(); ok && err == nil {
				pin.Release()
			}
		}
	}()
	for next := from; from <= last; {
		for next <= last && len(ahead) <= chunksAhead {
			c, err := l.chunk(loading, next, last)
			if err != nil && len(ahead) == 0 {
				yield(Record{}, err)
				return from, false
			}
			if err != nil {
				break // the chunks before it come first
			}
			ahead = append(ahead, c)
			next = c.last + 1
		}
		c := ahead[0]
		pin, err := c.load.Await(ctx)
		if err != nil && ctx.Err() == nil && l.remapped(c.place) {
			return from, true
		}
		ahead = ahead[1:]
		if err != nil {
			yield(Record{}, err)
			return from, false
		}
		if !c.yield(pin, from, !l.opts.NoVerify, yield) {
			return from, false
		}
		from = c.last + 1
	}
	return from, true
}

// chunk begins to bring in records of one segment from the index from on.
func (l *Log) chunk(ctx context.Context, from, last uint64) (chunk, error) {
	p, err := l.locateRun(from, last, rangeChunk)
	if err != nil {
		return chunk{}, err
	}
	return chunk{p, p.file.Load(ctx, p.off, p.end-p.off)}, nil
}

// yield yields the chunk's records from the index from on, releases the pin, and
// reports whether the caller wants more.
func (c chunk) yield(pin *core.Pin, from uint64, verify bool, yield func(Record, error) bool) (more bool) {
	defer pin.Release() // also when the loop's body panics
	b := pin.Bytes()
	at := c.place
	for off := int64(0); at.from <= c.last; at.from++ {
		at.index, at.off = at.from, c.off+off
		var data, n int64
		err := pin.Do(func(b []byte) (err error) {
			data, n, err = at.record(b[off:], verify && at.index >= from)
			return err
		})
		if err != nil {
			yield(Record{}, err)
			return false
		}
		data += off
		if at.index >= from && !yield(Record{at.index, b[data : data+n : data+n]}, nil) {
			return false
		}
		off += frameSize(n)
	}
	return true
}
