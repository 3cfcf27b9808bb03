package flush

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Target is what batches are flushed through; core.File is one. FlushRange makes the
// bytes [off, off+n) durable and blocks until they are. It is never called twice
// at a time by one [Committer].
//
// A target may also have these methods:
//
//   - Len() int64, its length. A request that reaches past it then fails alone,
//     with [ErrRange], and what is cut off while a batch forms is left out of it.
//   - Flush() error, which makes all of it durable; see [Committer.CommitAll].
//   - StartWriteback(off, n int64) error, which begins the writing and waits for
//     nothing; see [Background].
//
// An error that has a method Final() bool answering true, itself or wrapped, says
// that the target has failed for good.
type Target interface {
	FlushRange(off, n int64) error
}

// Options change how a [Committer] works. The zero value is right for a server.
type Options struct {
	// Execute runs task on some goroutine, soon and exactly once, or returns an error
	// and does not run it; it must not block. Each batch is a task of its own, so that
	// the next one of this committer queues behind those of others. Execute may
	// run the task before it returns; the call that made the batch then takes as long.
	//
	// When Execute refuses the first batch of an idle committer, all members of that
	// batch fail with its error, and the committer is idle again. When it
	// refuses a batch that formed while another one ran, nothing is lost: the
	// goroutine that ran that one runs the next.
	//
	// Nil means a goroutine of the committer's own while there is work, and none when
	// there is not.
	Execute func(task func()) error

	// Gap is for targets much of which is dirty that nobody waits for, with a [Background]
	// say. Ranges of a batch that are more than Gap bytes apart are flushed by calls of
	// their own, up to eight, so that what is dirty between them is left alone. 0, or
	// less, means one call for the hull of all.
	//
	// A call of the target writes what is dirty in its range, and ends with a flush of the
	// device. Of 2, 8 and 64 pages at random places in a file of 256 MiB, written by writes of
	// 1 MiB, on ext4, in ms (BenchmarkHull has a smaller file):
	//
	//	                              nothing else dirty     256 other pages dirty
	//	one call for the hull         0.6    1.9    12       14     25     38
	//	a call for each               0.7    3.1    23       0.8    3.2    22
	//
	// Beginning the write-back of each before one call for the hull [sync_file_range(2)]
	// took as long as that call alone in all six.
	//
	// [sync_file_range(2)]: https://man7.org/linux/man-pages/man2/sync_file_range.2.html
	Gap int64
}

// phase is the state of a Committer; doc.go draws the transitions.
type phase uint8

const (
	idle    phase = iota // no batch
	queued               // one forms, and a runner for it is on its way
	running              // one runs, and the next may form
)

// A Committer turns requests to make ranges of a target durable into few calls of
// it: while one runs, all further requests gather into the next batch. It is safe
// for concurrent use. Make one for each target, with [NewCommitter].
type Committer struct {
	target  Target
	execute func(task func()) error
	gap     int64
	task    func() // c.runTask, made once so that handing it over allocates nothing
	length  func() int64
	whole   func() error
	empty   *Batch        // answers empty ranges
	sealed  atomic.Uint64 // how many batches have been; changes under mu

	mu      sync.Mutex // guards what follows; held for no call of the target, of Execute or of a callback
	phase   phase
	forming *Batch // gathers members; not nil when queued
	active  *Batch // sealed; not nil when running
	tally   tally

	refusal  *Batch        // answers all requests from now on; nil while they are welcome
	failure  error         // final: of the target
	closed   bool          // StartClose was called
	closeErr error         // of the first batch that failed after that
	closers  []func(error) // called when the phase becomes idle

	crowd        crowd
	reentering   bool // somebody is in reenter
	reenterAgain bool // and has another batch to submit
}

// NewCommitter makes a committer for t. It owns no goroutine until it has work; a
// caller that needs to know that all is flushed calls [Committer.Close].
func NewCommitter(t Target, o Options) *Committer {
	c := &Committer{target: t, execute: o.Execute, gap: o.Gap, empty: resolvedBatch(nil)}
	c.crowd.patience = maxPatience
	c.task = c.runTask
	if l, ok := t.(interface{ Len() int64 }); ok {
		c.length = l.Len
	}
	if f, ok := t.(interface{ Flush() error }); ok {
		c.whole = f.Flush
	}
	return c
}

// Commit asks for [off, off+n) to be made durable and returns the batch that will do
// it: one that has not begun to run, so that it covers every store that happened
// before the call. Commit never blocks, apart from what Options.Execute does. It
// allocates only for the first member of a batch.
//
// An invalid range answers a batch of its own that has failed with [ErrRange]. After
// Close it has failed with an error that wraps [fs.ErrClosed], after the target
// failed for good with that failure. An empty range has nothing to make durable: it joins no batch
// and is done at once, so it is no barrier; [Committer.CommitAll] is one.
func (c *Committer) Commit(off, n int64) *Batch {
	s, err := c.check(off, n)
	if err != nil {
		return c.refuse(err)
	}
	c.mu.Lock()
	if c.refusal != nil {
		return c.refuseLocked()
	}
	if n == 0 {
		c.mu.Unlock()
		return c.empty
	}
	return c.joinLocked(s, false)
}

// CommitAll is Commit for the whole target, whatever its length is when the batch
// runs; an empty target is flushed too. The batch calls the target's method Flush if
// it has one, and otherwise FlushRange with its Len, or with the largest length
// there is.
func (c *Committer) CommitAll() *Batch {
	c.mu.Lock()
	if c.refusal != nil {
		return c.refuseLocked()
	}
	return c.joinLocked(everything, true)
}

// Flush makes [off, off+n) durable: it is Commit and Wait, with the errors of both.
// When ctx is done before the call nothing is asked for.
//
// A caller who is alone runs the batch in its own goroutine, where it costs what
// the call of the target costs, and like that cannot be interrupted: ctx then counts only
// until the call begins. A page that took a bare msync 149 µs (median of calls in turn, small
// folios) took 145 µs this way, and 168 to 182 µs when another goroutine had to be woken
// and to wake the caller. So that is done only if ctx has a deadline, which is kept, or if
// Execute is set. To be able to give up at any time, use Commit and Wait. Nobody
// ever runs a batch of others.
func (c *Committer) Flush(ctx context.Context, off, n int64) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, hurried := ctx.Deadline(); c.execute == nil && !hurried {
		if err, ran := c.flushInPlace(off, n); ran {
			return err
		}
	}
	return c.Commit(off, n).Wait(ctx)
}

// flushInPlace runs a batch of one in the caller if the committer is idle.
func (c *Committer) flushInPlace(off, n int64) (err error, ran bool) {
	s, err := c.check(off, n)
	if err != nil || n == 0 {
		return nil, false // Commit knows the answer
	}
	c.mu.Lock()
	if c.phase != idle || c.refusal != nil {
		c.mu.Unlock()
		return nil, false
	}
	now := time.Now()
	if c.crowd.recent(now) {
		c.mu.Unlock()
		return nil, false // others are about to come
	}
	// Nobody else ever sees this batch, so it needs no channel and never forms.
	b := &Batch{members: 1, born: now}
	b.cover.add(s, 0)
	c.phase, c.active = running, b
	c.mu.Unlock()
	if c.run(b) {
		go c.carryOn() // ends when no batch is left; Close waits for that
	}
	return b.err, true
}

// Stats says what the committer has done up to now.
func (c *Committer) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	var waiting int64
	for _, b := range []*Batch{c.forming, c.active} {
		if b != nil {
			waiting += int64(b.members)
		}
	}
	return c.tally.stats(waiting)
}

// Close refuses requests from now on with an error that wraps [fs.ErrClosed], and
// waits until all earlier ones have been served and their callbacks have returned.
// It returns the failure of the target if that was final, and otherwise the error
// of the first batch that failed after Close began. Later and concurrent calls
// wait for the same end. The target stays open.
func (c *Committer) Close() error { return c.CloseContext(context.Background()) }

// CloseContext is like [Committer.Close], except that it returns
// context.Cause(ctx) when ctx is done first. The committer is closed all the same,
// and what was waiting is still served.
func (c *Committer) CloseContext(ctx context.Context) error {
	return waitClosed(ctx, c.StartClose)
}

// StartClose begins what [Committer.Close] does and does not wait for it. done,
// which may be nil, is called exactly once with what Close returns: before
// StartClose returns if nothing is under way, and otherwise by the goroutine that
// ends the last batch. It must not block.
func (c *Committer) StartClose(done func(error)) {
	c.mu.Lock()
	c.closed = true
	if c.refusal == nil {
		c.refusal = resolvedBatch(errCommitterClosed)
	}
	if c.phase != idle {
		if done != nil {
			c.closers = append(c.closers, done)
		}
		c.mu.Unlock()
		return
	}
	err := c.outcomeLocked()
	c.mu.Unlock()
	if done != nil {
		done(err)
	}
}

// waitClosed calls start, which begins a closing, and blocks until that ends or
// ctx is done. If both have happened the outcome of the closing is returned.
func waitClosed(ctx context.Context, start func(done func(error))) error {
	closed := make(chan error, 1)
	start(func(err error) { closed <- err })
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-closed:
		return err
	default:
		return context.Cause(ctx)
	}
}

// outcomeLocked is what Close returns once all is served.
func (c *Committer) outcomeLocked() error {
	if c.failure != nil {
		return c.failure
	}
	return c.closeErr
}

// check is the span of a request that may join a batch.
func (c *Committer) check(off, n int64) (span, error) {
	s, err := spanOf(off, n)
	if err == nil && c.length != nil && s.hi > c.length() {
		err = rangeError(off, n)
	}
	return s, err
}

// refuse answers a request that is part of no batch.
func (c *Committer) refuse(err error) *Batch {
	c.mu.Lock()
	c.tally.refused++
	c.mu.Unlock()
	return resolvedBatch(err)
}

// refuseLocked answers a request that came after the end, and unlocks mu.
func (c *Committer) refuseLocked() *Batch {
	defer c.mu.Unlock()
	c.tally.refused++
	return c.refusal
}

// joinLocked makes a request a member of the forming batch, sees to it that
// somebody will run that, and unlocks mu.
func (c *Committer) joinLocked(s span, whole bool) *Batch {
	b := c.forming
	if b == nil {
		b = newBatch()
		b.born = time.Now()
		c.forming = b
	}
	b.cover.add(s, c.gap)
	b.whole = b.whole || whole
	b.members++
	start := c.phase == idle
	if start {
		c.phase = queued
		if !c.crowd.recent(b.born) {
			c.crowd.expected = 0
		}
	}
	c.mu.Unlock()
	if start {
		c.start()
	}
	return b
}
