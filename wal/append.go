package wal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
)

// A Ticket is a future of durability: it resolves when the records of one
// Append, and all before them, are durable. It is safe for concurrent use.
type Ticket struct {
	log         *Log
	first, last uint64
	seg         *segment
	end         int64  // of the records in seg
	epoch       uint64 // Log.epoch when they were stored
	batch       *flush.Batch
	err         error // of an Append that failed; there is no batch then
}

// First returns the index of the first record, 0 if the Append has failed.
func (t *Ticket) First() uint64 { return t.first }

// Last returns the index of the last record: First-1 for an Append of none, 0 if
// it has failed.
func (t *Ticket) Last() uint64 { return t.last }

// closedChan is the Done of a ticket that has nothing to wait for.
var closedChan = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Done returns a channel that is closed when the ticket has resolved.
func (t *Ticket) Done() <-chan struct{} {
	if t.batch == nil {
		return closedChan
	}
	return t.batch.Done()
}

// Await waits until the records are durable and returns the index of the last
// one. A ctx that is done first ends the wait with its cause, and the records
// become durable all the same. After a failed flush the log is unusable until
// it is opened again, and may or may not hold the records then.
func (t *Ticket) Await(ctx context.Context) (last uint64, err error) {
	if t.batch == nil {
		return t.last, t.err
	}
	if err := t.batch.Wait(ctx); err != nil {
		return 0, err
	}
	t.arrive() // the batch's callback may be behind
	return t.last, nil
}

// Wait is Await without a context.
func (t *Ticket) Wait() error {
	_, err := t.Await(context.Background())
	return err
}

// Append stores records behind the last one and returns a ticket that resolves
// when they are durable. The records are copied. Append waits for the device
// only when a segment is full: once per segment.
//
// A record may be empty. One longer than [MaxRecord] fails with [ErrTooLarge].
// When the ticket has failed at once, none of the records are stored; on a full
// disk a later Append may succeed. A crash may cut the records of one call
// apart.
func (l *Log) Append(records ...[]byte) *Ticket { return l.AppendAt(0, records...) }

// AppendAt is Append that fails with [ErrIndex] unless first is the index that
// the first record gets; 0 stands for any.
func (l *Log) AppendAt(first uint64, records ...[]byte) *Ticket {
	began := l.counters.now()
	t := &Ticket{log: l}
	l.writer.Lock()
	watch, err := l.append(t, first, records)
	l.writer.Unlock()
	if err != nil {
		return &Ticket{log: l, err: err}
	}
	if watch != nil {
		// Not under writer, as the batch may be over, and calls back at once then.
		watch.batch.OnDone(func(err error) { l.resolved(&watch.ticket, err, began) })
	}
	return t
}

// Write is Append and Await. Alone, it flushes in the calling goroutine, which
// saves two switches of goroutines. Nothing is stored if ctx is done before the
// call.
func (l *Log) Write(ctx context.Context, records ...[]byte) (last uint64, err error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	began := l.counters.now()
	t := &Ticket{log: l}
	l.writer.Lock()
	err = l.store(t, 0, records)
	if err != nil || t.seg == nil {
		l.writer.Unlock()
		if err != nil {
			return 0, err
		}
		return t.last, nil
	}
	c := t.seg.committer
	t.seg.writes.Add(1)
	l.writer.Unlock()
	defer t.seg.writes.Done()

	from := t.seg.durable.Load()
	if from < t.end { // else a batch of later records has served these
		if err := c.Flush(ctx, from, t.end-from); err != nil {
			if ctx.Err() == nil {
				l.fail(err)
				return 0, err
			}
			// Flush may have requested nothing. A log that has failed refuses.
			c.Commit(from, t.end-from).OnDone(func(err error) { l.resolved(t, err, began) })
			return 0, err
		}
	}
	l.counters.waited(began)
	t.arrive()
	return t.last, nil
}

// append stores the records and joins the forming batch. A batch that it is the
// first to join must be watched once writer is released. l.writer is held.
func (l *Log) append(t *Ticket, first uint64, records [][]byte) (watch *joined, err error) {
	if err := l.store(t, first, records); err != nil || t.seg == nil {
		return nil, err
	}
	// From where the segment is durable on: records of a Write that has stored
	// its own, but not flushed them yet, come before these and become durable
	// with them.
	from := t.seg.durable.Load()
	// The batch may be over when Commit returns. Its callback waits for waiting,
	// and so does not miss this ticket.
	l.waiting.Lock()
	defer l.waiting.Unlock()
	t.batch = t.seg.committer.Commit(from, t.end-from)
	if l.joined == nil || l.joined.batch != t.batch {
		l.joined = &joined{batch: t.batch}
		watch = l.joined
	}
	l.joined.ticket = *t
	return watch, nil
}

// store puts the records behind the last one, in one segment, and fills in t
// except its batch. l.writer is held.
func (l *Log) store(t *Ticket, first uint64, records [][]byte) error {
	if err := l.usable(); err != nil {
		return err
	}
	next := l.next()
	if first != 0 && first != next {
		return fmt.Errorf("%w: %d, but %d is next", ErrIndex, first, next)
	}
	total := int64(0)
	for _, r := range records {
		if len(r) > MaxRecord {
			return fmt.Errorf("%w: a record of %d bytes, at most %d", ErrTooLarge, len(r), MaxRecord)
		}
		total += frameSize(int64(len(r)))
	}
	t.first, t.last = next, next+uint64(len(records))-1
	if len(records) == 0 {
		return nil
	}
	s := l.tail()
	if s == nil || !s.room(total) {
		var err error
		if s, err = l.roll(total); err != nil {
			return err
		}
	}
	if err := l.put(s, records); err != nil {
		return err
	}
	l.lookAhead(s)
	t.seg, t.end, t.epoch = s, s.end, l.epoch
	l.counters.appended(len(records), total)
	return nil
}

// put stores records at the end of the tail s, which has room for them. No reader
// looks there before mu is released. l.writer is held.
func (l *Log) put(s *segment, records [][]byte) error {
	f := frame{gen: s.gen, durable: uint32(s.durable.Load() / frameAlign)}
	l.frames.reset(s.file.Core(), s.end)
	for i, r := range records {
		f.length, f.index = uint32(len(r)), uint16(s.first+s.count+uint64(i))
		l.frames.put(s.sum, f, r)
	}
	if err := l.frames.flush(); err != nil {
		// Frames that have been stored must not pass behind later ones. At the
		// last generation the segment has no room any more.
		next := l.meta.state
		next.gen = s.gen + 1
		if merr := l.storeMeta(next); merr != nil {
			return errors.Join(err, merr)
		}
		s.gen++
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range records {
		f.length = uint32(len(r))
		s.took(f)
	}
	return nil
}

// resolved is called when a batch is over whose last ticket is t.
func (l *Log) resolved(last *Ticket, err error, began int64) {
	if err != nil {
		l.fail(err)
		return
	}
	l.counters.waited(began)
	l.waiting.Lock()
	t := *last // none joins any more
	l.waiting.Unlock()
	t.arrive()
}

// arrive notes that the records of the ticket, and so all before them, are
// durable.
func (t *Ticket) arrive() {
	l := t.log
	if l.durable.Load() >= t.last {
		return
	}
	l.waiting.Lock()
	defer l.waiting.Unlock()
	if t.epoch != l.epoch || l.durable.Load() >= t.last {
		return // cut off since, or noted by another
	}
	t.seg.durable.Store(t.end)
	l.durable.Store(t.last)
	l.wakeLocked()
}

// wake lets every Tail that waits look again.
func (l *Log) wake() {
	l.waiting.Lock()
	defer l.waiting.Unlock()
	l.wakeLocked()
}

func (l *Log) wakeLocked() {
	if l.arrived != nil {
		close(l.arrived)
		l.arrived = nil
	}
}

// fail makes err, of a flush, the failure of the log.
func (l *Log) fail(err error) {
	l.failure.CompareAndSwap(nil, &err)
	l.wake()
}

// roll seals the tail, if there is one, and begins a segment that has room for
// records whose frames take total bytes. l.writer is held.
func (l *Log) roll(total int64) (*segment, error) {
	need := pageSize + total + indexSize(pageSize+total) + trailerSize
	if need > max(l.opts.SegmentSize, math.MaxUint32*frameAlign-pageSize) {
		return nil, fmt.Errorf("%w: records of %d bytes in one call", ErrTooLarge, total)
	}
	if t := l.tail(); t != nil {
		if err := l.seal(t); err != nil {
			return nil, err
		}
	}
	file, err := l.takeFile(need)
	if err != nil {
		return nil, err
	}
	s, err := l.startSegment(file)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.segments = append(l.segments, s)
	l.mu.Unlock()
	return s, nil
}

// seal makes all of the tail durable, with its index and trailer. Only then may
// the next segment be begun: that a segment exists proves that the one before is
// whole.
func (l *Log) seal(s *segment) error {
	if err := l.quiesce(s); err != nil {
		return err
	}
	sum, err := s.storeIndex()
	if err != nil {
		return l.lost(err)
	}
	t := trailer{s.count, s.end, s.gen, sum, l.meta.cut.number}
	if _, err := s.file.Core().WriteAt(t.encode(s.header), s.size-trailerSize); err != nil {
		return l.lost(err)
	}
	if err := s.file.Core().FlushRange(s.size-trailerSize, trailerSize); err != nil {
		return l.lost(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.sealed, s.cuts = true, t.cuts
	l.closeIdle()
	return nil
}

// quiesce waits until all that was stored in the tail is durable. The tail has no
// committer then. l.writer is held.
func (l *Log) quiesce(s *segment) error {
	if s.committer == nil {
		return l.failed()
	}
	s.writes.Wait() // they may have stored records and not requested a flush yet
	err := s.committer.Close()
	l.mu.Lock()
	l.counters.commits += commits(s.committer)
	s.committer = nil
	l.mu.Unlock()
	if err != nil {
		l.fail(err)
	}
	return l.failed()
}

// lost makes err the failure of the log: its tail has no committer any more.
func (l *Log) lost(err error) error {
	l.fail(err)
	return err
}

// startSegment stores the header of the next segment, durably, in a file that
// holds nothing that is needed, and notes that it exists.
func (l *Log) startSegment(file spare) (*segment, error) {
	h := header{id: l.meta.id, seq: l.meta.nextSeq, salt: randomSalt(), first: l.next(), size: file.size}
	if n := len(l.segments); n > 0 {
		h.prevSeq, h.prevCuts = l.segments[n-1].seq, l.segments[n-1].cuts
	}
	f, err := mapSegment(l.pool(), file.name, core.ReadWrite)
	if err != nil {
		l.giveBack(file)
		return nil, err
	}
	s := &segment{header: h, name: file.name, sum: h.seed(), file: f, end: pageSize}
	s.durable.Store(pageSize)
	l.mu.Lock()
	l.meta.nextSeq++ // also when this fails: link takes the latest that follows
	l.mu.Unlock()
	next := l.meta.state
	next.tailSeq, next.gen = h.seq, 0
	if len(l.segments) == 0 {
		next.firstSeq = h.seq
	}
	_, err = f.Core().WriteAt(h.encode(), 0)
	if err == nil {
		err = f.Core().FlushRange(0, pageSize)
	}
	if err != nil {
		// Not kept: a file whose flush has failed cannot be trusted with another.
		_ = f.Close()
		_ = os.Remove(file.name)
		return nil, err
	}
	if err := l.storeMeta(next); err != nil {
		_ = f.Close() // and stays: the state on the disk may name it
		return nil, err
	}
	s.committer, s.began = l.counters.newCommitter(f.Core()), s.end
	return s, nil
}
