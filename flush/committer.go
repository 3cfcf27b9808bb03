package flush

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/latency"
)

// Target is what batches are flushed through; *core.File is one. FlushRange
// makes the bytes [off, off+n) durable and blocks until they are. A [Committer]
// makes one call at a time.
//
// A target may also have these methods:
//
//   - Len() int64, its length. A request that reaches past it then fails alone,
//     with [ErrRange], and what is cut off while a batch forms is left out of
//     it.
//   - Flush() error, which makes all of it durable; see [Committer.CommitAll].
//   - StartWriteback(off, n int64) error, which begins writing and waits for
//     nothing; see [Background].
//
// An error that has, itself or wrapped, a method Final() bool that returns true
// means that the target has failed for good.
type Target interface {
	FlushRange(off, n int64) error
}

// Options change how a [Committer] works. The zero value is right for a server.
type Options struct {
	// Execute runs batches: it arranges for one call of task and returns nil,
	// or returns an error and does not call task. It must not block. task(nil)
	// runs a batch and belongs on a goroutine that may block, soon. task(err),
	// with an error that is not nil, reports that the batch will not be run
	// after all, for instance because a queue was closed: its members fail with
	// err.
	//
	// Each batch is a task of its own, so that the next one of this committer
	// queues behind those of others. When Execute refuses the first batch of an
	// idle committer, the members of that batch fail with its error, and the
	// committer is idle again. When it refuses a batch that formed while
	// another one ran, the goroutine that ran that one runs the next. A panic
	// of Execute continues, and a goroutine of the committer runs the batch.
	//
	// Execute should return before task runs. If it runs task itself, the
	// request that began the batch takes as long as the batch, and runs those
	// that form meanwhile too.
	//
	// Nil means a goroutine of the committer's own while there is work, and
	// none when there is not.
	Execute func(task func(dropped error)) error

	// Gap is for targets much of which is dirty that no request is waiting for,
	// with a [Background] for instance. Ranges of a batch that are more than
	// Gap bytes apart are flushed by calls of their own, up to eight, so that
	// what is dirty between them is left alone. 0 or less means one call for
	// the smallest range that covers all.
	//
	// A call of the target writes what is dirty in its range, and ends with a
	// flush of the device. Of 2, 8 and 64 pages at random places in a file of
	// 256 MiB, written by writes of 1 MiB, on ext4, in ms (BenchmarkHull has a
	// smaller file):
	//
	//	                  nothing else dirty     256 other pages dirty
	//	one call          0.6    1.9    12       14     25     38
	//	a call for each   0.7    3.1    23       0.8    3.2    22
	//
	// Beginning the write-back of each before one call [sync_file_range(2)]
	// took as long as that call alone in all six.
	//
	// [sync_file_range(2)]: https://man7.org/linux/man-pages/man2/sync_file_range.2.html
	Gap int64

	// Wait and Run, where they are not nil, count what the fields of the same
	// names of [Stats] count, for several committers together.
	Wait, Run *latency.Recorder
}

// phase is the state of a Committer; doc.go draws the transitions.
type phase uint8

const (
	idle    phase = iota // no batch
	queued               // one forms, and a runner for it is on its way
	running              // one runs, and the next may form
)

// A Committer turns requests to make ranges of a target durable into few calls
// of it: while one runs, all further requests gather into the next batch. It is
// safe for concurrent use. Make one per target, with [NewCommitter].
type Committer struct {
	target  Target
	execute func(task func(dropped error)) error
	gap     int64
	task    func(dropped error) // c.runTask, made once so that handing it over allocates nothing
	length  func() int64        // nil: the target has none
	whole   func() error        // nil: the target has none
	empty   *Batch              // of empty ranges

	submitting atomic.Int32 // calls of execute that have not returned

	mu      sync.Mutex // guards the rest; not held while target, execute or a callback runs
	phase   phase
	forming *Batch // gathers members; not nil when queued
	active  *Batch // sealed; not nil when running
	joiners expectedJoiners
	tally   tally

	refusal  *Batch        // of all requests from now on; nil while they are accepted
	failure  error         // final, of the target
	closed   bool          // StartClose was called
	closeErr error         // of the first batch that failed after that
	closers  []func(error) // called when the phase becomes idle
}

// NewCommitter returns a committer for t. It owns no goroutine until it has
// work. A caller that needs to know that everything is flushed calls
// [Committer.Close].
func NewCommitter(t Target, o Options) *Committer {
	c := &Committer{target: t, execute: o.Execute, gap: o.Gap, empty: resolvedBatch(nil)}
	c.joiners.patience = maxPatience
	c.tally.allWaits, c.tally.allRuns = o.Wait, o.Run
	c.task = c.runTask
	if l, ok := t.(interface{ Len() int64 }); ok {
		c.length = l.Len
	}
	if f, ok := t.(interface{ Flush() error }); ok {
		c.whole = f.Flush
	}
	return c
}

// Commit requests that [off, off+n) be made durable and returns the batch that
// will do it: one that has not begun to run, so that it covers every store that
// happened before the call. Commit does not block, apart from what
// Options.Execute does. It allocates only for the first member of a batch.
//
// For an invalid range Commit returns a batch of its own that has failed with
// [ErrRange]. After Close the batch has failed with an error that wraps
// [fs.ErrClosed], after the target failed for good with that failure. An empty
// range has nothing to make durable: it joins no batch and is done at once, so
// it is no barrier; [Committer.CommitAll] is one.
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

// CommitAll is Commit for the whole target, whatever its length is when the
// batch runs; an empty target is flushed too. The batch calls the target's
// method Flush if it has one, and otherwise FlushRange with its Len, or with
// the largest length there is.
func (c *Committer) CommitAll() *Batch {
	c.mu.Lock()
	if c.refusal != nil {
		return c.refuseLocked()
	}
	return c.joinLocked(wholeFile, true)
}

// Flush makes [off, off+n) durable: it is Commit and Wait, with the errors of
// both. When ctx is done before the call, Flush requests nothing.
//
// A caller that is alone runs the batch in its own goroutine, where it costs
// what the call of the target costs, and like that cannot be interrupted: ctx
// then counts only until the call begins. That saves waking another goroutine
// and being woken by it, 25 of 175 µs for a page on a fast device. It is not
// done when ctx has a deadline, which is kept, or when Execute is set. To be
// able to give up at any time, use Commit and Wait. No caller ever runs a batch
// of other callers.
func (c *Committer) Flush(ctx context.Context, off, n int64) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, hasDeadline := ctx.Deadline(); c.execute == nil && !hasDeadline {
		if b := c.flushInPlace(off, n); b != nil {
			return b.err
		}
	}
	return c.Commit(off, n).Wait(ctx)
}

// Stats returns what the committer has done up to now.
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

// Close refuses requests from now on with an error that wraps [fs.ErrClosed],
// and waits until all earlier ones have been served and their callbacks have
// returned. It returns the failure of the target if that was final, and
// otherwise the error of the first batch that failed after Close began. Later
// and concurrent calls wait for the same end. The target stays open.
func (c *Committer) Close() error { return c.CloseContext(context.Background()) }

// CloseContext is like [Committer.Close], except that it returns
// context.Cause(ctx) when ctx is done first. The committer is closed all the
// same, and what was waiting is still served.
func (c *Committer) CloseContext(ctx context.Context) error {
	return waitClosed(ctx, c.StartClose)
}

// StartClose begins what [Committer.Close] does and does not wait for it. done,
// which may be nil, is called exactly once with what Close returns: before
// StartClose returns if nothing is under way, and otherwise by the goroutine
// that ends the last batch. It must not block.
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

// outcomeLocked returns what Close returns once every request has been served.
func (c *Committer) outcomeLocked() error {
	if c.failure != nil {
		return c.failure
	}
	return c.closeErr
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

// check returns the span of a request, or why it cannot join a batch.
func (c *Committer) check(off, n int64) (span, error) {
	s, err := spanOf(off, n)
	if err == nil && c.length != nil && s.hi > c.length() {
		err = rangeError(off, n)
	}
	return s, err
}

// refuse returns a batch that has failed with err.
func (c *Committer) refuse(err error) *Batch {
	c.mu.Lock()
	c.tally.refused++
	c.mu.Unlock()
	return resolvedBatch(err)
}

// refuseLocked returns the batch of requests that come too late, and unlocks
// mu.
func (c *Committer) refuseLocked() *Batch {
	defer c.mu.Unlock()
	c.tally.refused++
	return c.refusal
}

// joinLocked makes a request a member of the forming batch, finds a runner for
// that if it is the first, and unlocks mu.
func (c *Committer) joinLocked(s span, whole bool) *Batch {
	b := c.forming
	if b == nil {
		b = newBatch()
		b.born = time.Now()
		c.forming = b
	}
	b.ranges.add(s, c.gap)
	b.whole = b.whole || whole
	b.members++
	start := c.phase == idle
	if start {
		c.phase = queued
		if !c.joiners.recent(b.born) {
			c.joiners.expected = 0
		}
	}
	c.checkLocked()
	c.mu.Unlock()
	if start {
		c.start()
	}
	return b
}
