package wal

import (
	"context"
	"fmt"
	"slices"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// TruncateFront removes the records before the index first, which becomes the
// first one, and returns when that is durable. Readers that hold records keep
// them; their segments are recycled afterwards. It never waits for readers.
//
// An index that is not later than the first one changes nothing. One that is
// later than Last+1 is [ErrNotFound].
func (l *Log) TruncateFront(first uint64) error {
	l.writer.Lock()
	defer l.writer.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	switch {
	case first <= l.meta.first:
		return nil
	case first > l.durable.Load()+1:
		return fmt.Errorf("%w: %d, the last is %d", ErrNotFound, first, l.durable.Load())
	}
	n := 0
	for n < len(l.segments) && l.segments[n].sealed && l.segments[n].last() < first {
		n++
	}
	next := l.meta.state
	next.first = first
	if n == len(l.segments) {
		next.firstSeq, next.tailSeq = 0, 0
	} else {
		next.firstSeq = l.segments[n].seq
	}
	if err := l.storeMeta(next); err != nil {
		return err
	}
	l.drop(0, n)
	return nil
}

// drop takes the segments [i, j) out of the log, and recycles them. l.writer is
// held.
func (l *Log) drop(i, j int) {
	dead := append([]*segment(nil), l.segments[i:j]...)
	l.mu.Lock()
	l.segments = append(l.segments[:i:i], l.segments[j:]...)
	l.mu.Unlock()
	l.recycle(dead)
}

// TruncateBack removes the records after the index last, which becomes the last
// one, and returns when that is durable; the next record gets the index last+1.
// It waits for readers that hold records of the segment that it cuts, and all
// methods that change the log wait for it: when ctx is done first nothing has
// changed, and the error is the context's cause. So a goroutine that holds a
// record, as the body of a loop over Range or Tail does, releases it before it
// calls TruncateBack, or appends while another goroutine may call that.
//
// An index that is not earlier than the last one changes nothing. One that is
// earlier than First-1 is [ErrNotFound].
func (l *Log) TruncateBack(ctx context.Context, last uint64) error {
	l.writer.Lock()
	defer l.writer.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	switch {
	case last >= l.next()-1:
		return nil
	case last+1 < l.meta.first:
		return fmt.Errorf("%w: %d, the first is %d", ErrNotFound, last, l.meta.first)
	}
	at := 0
	for l.segments[at].last() <= last {
		at++
	}
	if t := l.tail(); t != nil {
		if err := l.quiesce(t); err != nil {
			return err
		}
	}
	before := l.hide(last)
	s := l.segments[at]
	err := l.closeReaders(ctx, s)
	if err == nil {
		err = l.cut(s, at, last)
	}
	if err != nil {
		l.show(before)
		if werr := l.openTail(); werr != nil && l.failed() == nil {
			l.fail(werr)
		}
		return err
	}
	l.drop(at+1, len(l.segments))
	return nil
}

// openTail maps the tail for storing, and gives it a committer. l.writer is
// held.
func (l *Log) openTail() error {
	t := l.tail()
	if t == nil || t.committer != nil {
		return nil
	}
	f, err := mapSegment(l.pool(), t.name, core.ReadWrite)
	if err != nil {
		return err
	}
	l.install(t, f)
	return nil
}

// install makes f the mapping of the tail, in place of one for readers.
func (l *Log) install(t *segment, f *async.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t.unmap()
	t.file, t.committer, t.began = f, l.counters.newCommitter(f.Core()), t.end
}

// hide keeps readers from records after last, and lets tickets for them no
// longer count. It returns the index of the last record before.
func (l *Log) hide(last uint64) (before uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hideLocked(last)
}

// hideLocked is hide with mu held.
func (l *Log) hideLocked(last uint64) (before uint64) {
	l.waiting.Lock()
	defer l.waiting.Unlock()
	before = l.durable.Load()
	l.durable.Store(last)
	l.epoch++
	l.joined = nil
	return before
}

// show undoes hide.
func (l *Log) show(last uint64) {
	l.waiting.Lock()
	defer l.waiting.Unlock()
	l.durable.Store(last)
	l.wakeLocked()
}

// closeReaders closes the mapping of s, and waits until its readers, and those of
// earlier mappings, have released their records. Readers that come meanwhile map
// it anew, and see the records that are not hidden. l.writer is held.
func (l *Log) closeReaders(ctx context.Context, s *segment) error {
	l.mu.Lock()
	s.unmap()
	closing := slices.Clone(s.closing)
	l.mu.Unlock()
	for _, f := range closing {
		if _, err := f.Await(ctx); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
	}
	return nil
}

// cut ends the log in the segment s, the at-th, behind the record last. l.writer
// is held.
func (l *Log) cut(s *segment, at int, last uint64) error {
	f, err := mapSegment(l.pool(), s.name, core.ReadWrite)
	if err != nil {
		return err
	}
	l.mu.RLock()
	known := s.marks // a reader may load them
	l.mu.RUnlock()
	marks, end, err := s.find(f, known, last+1)
	if err == nil {
		next := l.meta.state
		next.cut = cut{next.cut.number + 1, s.seq, end, s.gen}
		next.tailSeq, next.gen = s.seq, min(s.gen, maxGeneration-1)+1
		err = l.storeMeta(next)
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	l.mu.Lock()
	s.marks, s.end, s.count = marks, end, last+1-s.first
	s.sealed, s.gen = false, l.meta.gen
	l.mu.Unlock()
	s.durable.Store(end)
	s.look = 0
	l.install(s, f)
	return nil
}

// find returns where in the segment the record index begins, and the marks of
// those before it. f is a mapping of the segment, and known are its marks if
// they are in memory.
func (s *segment) find(f *async.File, known []mark, index uint64) (marks []mark, end int64, err error) {
	whole := &segment{header: s.header, name: s.name, file: f, count: s.count, end: s.end, marks: known}
	if whole.marks == nil {
		if err := whole.readIndex(); err != nil {
			return nil, 0, err
		}
	}
	k := before(whole.marks, index-s.first)
	at := whole.marks[k]
	p := place{file: f, seg: whole, from: s.first + uint64(at.record), index: index, off: at.off(), end: s.end}
	if k+1 < len(whole.marks) {
		p.end = whole.marks[k+1].off()
	}
	pin, err := f.Core().Pin(p.off, p.end-p.off)
	if err != nil {
		return nil, 0, err
	}
	defer pin.Release()
	err = pin.Do(func(b []byte) error {
		off, _, err := p.record(b, false)
		end = p.off + off - frameHeader
		return err
	})
	if p.from < index {
		k++ // a record before it has that mark
	}
	return slices.Clone(whole.marks[:k]), end, err
}

// Reset removes all records and makes next the index of the next one; it
// returns when that is durable. It does not wait for readers, which keep the
// records they hold. The map of Set stays.
func (l *Log) Reset(next uint64) error {
	l.writer.Lock()
	defer l.writer.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if next == 0 {
		return fmt.Errorf("%w: 0", ErrIndex)
	}
	if t := l.tail(); t != nil {
		if err := l.quiesce(t); err != nil {
			return err
		}
	}
	s := l.meta.state
	s.first, s.firstSeq, s.tailSeq, s.cut = next, 0, 0, cut{number: s.cut.number}
	if err := l.meta.write(s); err != nil {
		l.fail(err)
		return err
	}
	l.mu.Lock()
	dead := l.segments
	l.segments, l.meta.state = nil, s
	l.hideLocked(next - 1)
	l.mu.Unlock()
	l.wake() // a Tail that waits for a record that has been skipped
	l.recycle(dead)
	return nil
}
