package wal

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"slices"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/core"
)

// randomSalt returns a random number for one life of a segment file.
func randomSalt() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return le.Uint64(b[:])
}

const (
	// firstSegment is the length of the first segment of a log, which Append
	// writes ahead while its caller waits. Each of the next is at most segmentGrowth
	// times as long, up to Options.SegmentSize.
	firstSegment  = 1 << 20
	segmentGrowth = 4

	// largeFlush is how many bytes a flush of the tail has on average where no spare
	// is written ahead: its blocks are only allocated. The zeros would take as much
	// of the device as the records do, and what they save, a change of the extents
	// in each flush, is little beside that.
	largeFlush = 64 << 10
)

// A spare is a segment file that holds nothing.
type spare struct {
	name string
	size int64
	// found is set when an earlier process has made the file. It may have been
	// killed before the file and its name were durable.
	found bool
}

// A making is a spare that a goroutine of the log writes ahead, or allocates.
type making struct {
	size    int64
	allowed atomic.Int64 // how much of it may be written yet
	more    chan struct{}
	done    chan struct{} // closed when the goroutine has ended
	stop    context.CancelFunc
}

// allow lets the first n bytes be written. One goroutine calls it at a time.
func (m *making) allow(n int64) {
	if n <= m.allowed.Load() {
		return
	}
	m.allowed.Store(n)
	select {
	case m.more <- struct{}{}:
	default: // it has not looked yet
	}
}

// wait waits until the byte at off may be written.
func (m *making) wait(ctx context.Context, off int64) error {
	for ctx.Err() == nil && m.allowed.Load() <= off {
		select {
		case <-m.more:
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}

// segmentSize returns the length of the next segment. l.writer is held.
func (l *Log) segmentSize() int64 {
	size := int64(firstSegment)
	if n := len(l.segments); n > 0 {
		size = max(size, min(l.segments[n-1].size, l.opts.SegmentSize)*segmentGrowth)
	}
	return min(size, l.opts.SegmentSize)
}

// takeFile returns a segment file without records that is need bytes long at
// least: a spare one if it can, or else a new one, which it first has to write
// ahead. l.writer is held.
func (l *Log) takeFile(need int64) (spare, error) {
	if s, ok := l.takeSpare(need); ok {
		if !s.found {
			return s, nil
		}
		err := syncFile(s.name)
		if err == nil {
			err = core.SyncDir(l.dir)
		}
		if err != nil {
			_ = os.Remove(s.name) // it is in no list any more
		}
		return s, err
	}
	s := spare{size: max(l.segmentSize(), (need+pageSize-1)/pageSize*pageSize)}
	l.mu.Lock()
	l.number++
	s.name = segmentName(l.dir, l.number)
	l.mu.Unlock()
	return s, writeAhead(s.name, s.size, func(int64) error { return nil })
}

// takeSpare takes a spare file, and waits for one that is being written.
// l.writer is held.
func (l *Log) takeSpare(need int64) (s spare, ok bool) {
	fits := func(s spare) bool { return s.size >= need }
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.spares, fits)
	if m := l.making; i < 0 && m != nil && m.size >= need {
		l.mu.Unlock()
		m.allow(m.size)
		<-m.done
		l.mu.Lock()
		i = slices.IndexFunc(l.spares, fits)
	}
	if i < 0 {
		return s, false
	}
	s = l.spares[i]
	l.spares = slices.Delete(l.spares, i, i+1)
	return s, true
}

// giveBack keeps a file of standard size that holds nothing for later, or
// removes it.
func (l *Log) giveBack(s spare) {
	l.mu.Lock()
	keep := s.size == l.opts.SegmentSize && len(l.spares) < l.opts.Spare
	if keep {
		l.spares = append(l.spares, s)
		if l.making != nil && len(l.spares) == l.opts.Spare {
			l.making.stop()
		}
	}
	l.mu.Unlock()
	if !keep {
		_ = os.Remove(s.name) // a file that stays is found at the next opening
	}
}

// lookAhead has a spare written ahead while the second half of the tail fills, at
// the pace of that: truncation may return a file before, and the device serves
// those that wait for their records meanwhile. l.writer is held.
func (l *Log) lookAhead(tail *segment) {
	if tail.end < tail.look {
		return
	}
	used := tail.end - tail.size/2
	if tail.look = tail.end + tail.size/64; used <= 0 {
		tail.look = tail.size/2 + 1
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.making == nil && len(l.spares) < l.opts.Spare && l.refused != tail.seq {
		l.makeSpare(tail)
	}
	if l.making != nil { // it is whole when the tail is 7/8 full
		l.making.allow(int64(float64(l.making.size) * min(1, float64(used)/float64(tail.size*3/8))))
	}
}

// makeSpare begins to make a spare for the time after the tail. A second one is not
// tried when that fails: roll makes one then, and returns the error. l.writer and
// l.mu are held.
func (l *Log) makeSpare(tail *segment) {
	ctx, stop := context.WithCancel(l.ctx)
	m := &making{size: l.segmentSize(), more: make(chan struct{}, 1), done: make(chan struct{}), stop: stop}
	l.making = m
	l.number++
	s := spare{name: segmentName(l.dir, l.number), size: m.size}
	seq, batches := tail.seq, int64(commits(tail.committer))
	large := batches > 0 && tail.end-tail.began >= largeFlush*batches
	// It ends when the file is made, or, unless that is allocated, which is quick, when
	// it is not needed or the log is closed.
	l.background.Go(func() {
		defer close(m.done)
		defer stop()
		err := errors.ErrUnsupported
		if large && ctx.Err() == nil {
			err = allocate(s.name, s.size)
		}
		if errors.Is(err, errors.ErrUnsupported) {
			err = writeAhead(s.name, s.size, func(off int64) error { return m.wait(ctx, off) })
		}
		l.mu.Lock()
		l.making = nil
		keep := err == nil && len(l.spares) < l.opts.Spare
		if keep {
			l.spares = append(l.spares, s)
		}
		if err != nil && ctx.Err() == nil {
			l.refused = seq
		}
		l.mu.Unlock()
		if err == nil && !keep {
			_ = os.Remove(s.name) // truncation has left another meanwhile
		}
	})
}

// recycle keeps the files of segments that are no part of the log any more for
// later, once their readers have released their records. l.writer is held.
func (l *Log) recycle(dead []*segment) {
	for _, s := range dead {
		l.mu.Lock()
		s.unmap()
		s.marks, s.dead = nil, true
		closing := s.closing
		l.mu.Unlock()
		if len(closing) == 0 {
			l.giveBack(spare{name: s.name, size: s.size})
			continue
		}
		l.background.Go(func() { // ends with the last reader's Release
			for _, f := range closing {
				_ = f.Wait() // the file is closed in any case
			}
			l.giveBack(spare{name: s.name, size: s.size})
		})
	}
}
