package wal

import (
	"context"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/flush"
)

// Log is an open log. Its methods may be called concurrently.
type Log struct {
	dir  string
	opts Options

	// durable is the index of the last record that is durable; the one before
	// the first record if there is none. It grows except in TruncateBack and
	// Reset, which hold mu.
	durable atomic.Uint64
	failure atomic.Pointer[error] // of a flush: final
	clock   atomic.Uint64         // counts uses of segments

	// writer is held by every method that changes the log, also while it waits for
	// the device or for readers. It orders the stores and the requests to flush, so
	// that batches are joined in the order of the records. It is taken before mu.
	writer sync.Mutex
	frames frameWriter // guarded by writer

	// mu guards what follows; readers share it. It is not held during a system
	// call. A goroutine that holds writer may read without it.
	mu       sync.RWMutex
	meta     meta
	segments []*segment // in order; the last one is the tail unless it is sealed
	spares   []spare    // at most Options.Spare
	making   *making    // the spare under way, nil without one
	refused  uint64     // the segment for which no spare could be made
	number   uint64     // of the segment file made last
	closed   bool

	// background counts goroutines that write ahead, which end when ctx does, or
	// wait to recycle, which end when readers have released their records.
	background sync.WaitGroup
	ctx        context.Context
	cancel     context.CancelFunc

	// waiting guards what follows; it may be taken while mu is held.
	waiting sync.Mutex
	arrived chan struct{} // closed when durable grows; nil unless a Tail waits
	joined  *joined       // the batch that was joined last
	epoch   uint64        // counts the times durable was lowered; changes with mu held too

	counters counters
}

// joined is a batch of the tail's committer with the ticket that joined last,
// whose records come after those of the others.
type joined struct {
	batch  *flush.Batch
	ticket Ticket // guarded by Log.waiting
}

// tail returns the segment that appends go to, nil if there is none.
func (l *Log) tail() *segment {
	if n := len(l.segments); n > 0 && !l.segments[n-1].sealed {
		return l.segments[n-1]
	}
	return nil
}

// next returns the index of the next record.
func (l *Log) next() uint64 {
	if n := len(l.segments); n > 0 {
		return l.segments[n-1].last() + 1
	}
	return l.meta.first
}

// usable returns why the log cannot be changed, nil if it can.
func (l *Log) usable() error {
	if l.closed {
		return fs.ErrClosed
	}
	return l.failed()
}

// failed returns the failure of the log, nil if it has none.
func (l *Log) failed() error {
	if err := l.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// First returns the index of the first record. It is one more than Last if the
// log is empty.
func (l *Log) First() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.meta.first
}

// Last returns the index of the last durable record. It is one less than First
// if the log is empty.
func (l *Log) Last() uint64 { return l.durable.Load() }

// find returns the segment that holds index. l.mu is held, or shared.
func (l *Log) find(index uint64) *segment {
	i, found := slices.BinarySearchFunc(l.segments, index, func(s *segment, index uint64) int {
		switch {
		case s.last() < index:
			return -1
		case s.first > index:
			return 1
		}
		return 0
	})
	if !found {
		return nil
	}
	return l.segments[i]
}

// pool is where page-ins run.
func (l *Log) pool() *async.Pool { return l.opts.Pool }

// Close makes all appended records durable, waits for readers to release their
// records, and closes the log. A log that was closed opens without a scan.
// Appends and reads after it fail with [fs.ErrClosed], and so does a second
// Close.
func (l *Log) Close() error {
	closing, first, begun := l.startClose()
	if !begun {
		return fs.ErrClosed
	}
	l.cancel()
	l.wake()
	for _, f := range closing {
		if err := f.Wait(); first == nil {
			first = err
		}
	}
	l.background.Wait()
	if err := l.meta.file.Close(); first == nil {
		first = err
	}
	return first
}

// startClose makes all appended records durable, and begins to close the
// mappings. It reports whether that had not been done before.
func (l *Log) startClose() (closing []*async.Future[struct{}], err error, begun bool) {
	l.writer.Lock()
	defer l.writer.Unlock()
	if l.closed {
		return nil, nil, false
	}
	err = l.failed()
	tail := l.tail()
	if tail != nil {
		err = l.quiesce(tail)
	}
	if err == nil {
		err = l.closeClean(tail)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, s := range l.segments {
		s.unmap()
		closing = append(closing, s.closing...)
	}
	return closing, err, true
}

// closeClean notes where the log ends, so that opening it need not look.
func (l *Log) closeClean(tail *segment) error {
	next := l.meta.state
	next.clean = clean{closed: true}
	if tail != nil {
		sum, err := tail.storeIndex()
		if err != nil {
			return err
		}
		next.clean = clean{true, tail.seq, tail.end, tail.count, sum}
		next.tailSeq, next.gen = tail.seq, tail.gen
	}
	if err := l.storeMeta(next); err != nil {
		return err
	}
	return l.storeMeta(next) // either slot can be lost then
}
