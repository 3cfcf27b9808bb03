package flush

import (
	"runtime/debug"
	"time"

	"github.com/fmmap-go/fmmap/internal/invariant"
)

// run runs the batch that waits for a runner, and the ones that form meanwhile
// as far as Execute does not take them. It is the whole life of a batch after
// its first member has joined. The order of the steps matters:
//
//   - A batch is sealed before the target is called. A member that joined later
//     might have stored after the pages were written, and would be told that
//     its store is durable (see the protocol in doc.go). Before that, joiners
//     that were members of the batch before get a moment to come.
//   - The outcome is recorded before the members are woken. A member that then
//     makes a request finds the failure of a target that failed for good, and
//     the next batch knows how many joiners to expect. A final failure ends the
//     forming batch in the same critical section, so that none of its members
//     is served by a call made after the failure.
//   - The callbacks return before the next batch begins. That bounds the work
//     that piles up behind a slow callback, and lets Close wait for callbacks.
//   - The phase changes last. Until then a request joins the forming batch and
//     relies on this runner to run it or to hand it over.
//   - The next batch goes to the tail of the queue of Execute, so that one busy
//     committer does not hold up others. If that refuses, the loop continues.
//
// What may happen instead:
//
//   - There is no batch: its task was dropped, or another runner has taken it.
//   - The target panics: that is the outcome, a PanicError.
//   - The target calls Goexit, or a callback or Execute does or panics: this
//     goroutine is unwound. end finishes the batch in deferred calls, and a new
//     goroutine runs what has formed meanwhile. The panic continues.
func (c *Committer) run() {
	more := true
	defer func() {
		if more { // unwound
			go c.run() // ends when no batch is left; Close waits for that
		}
	}()
	for more {
		c.awaitJoiners()
		b := c.seal()
		if b == nil {
			more = false
			return
		}
		c.flush(b, &more)
		if more && c.resubmit() {
			more = false
		}
	}
}

// runTask is the task passed to Execute: it runs one batch, or fails the
// members of the forming one with the reason why it will not be run.
func (c *Committer) runTask(dropped error) {
	if dropped == nil {
		c.run()
		return
	}
	more := false
	if b := c.seal(); b != nil {
		c.end(b, dropped, &more)
	}
	if more {
		c.start()
	}
}

// start finds a runner for the first batch of an idle committer. If Execute
// refuses that, its members fail.
func (c *Committer) start() {
	if c.execute == nil {
		go c.run() // ends when no batch is left; Close waits for that
		return
	}
	more := true
	defer func() {
		if more { // unwound, by a callback or by Execute
			go c.run() // ends when no batch is left; Close waits for that
		}
	}()
	for more {
		err := c.submit()
		more = false
		if err == nil {
			return
		}
		if b := c.seal(); b != nil {
			c.end(b, err, &more)
		}
	}
}

// resubmit passes the next batch to Execute, and reports whether that took it.
//
// While another call of Execute is under way resubmit refuses instead of making
// a call inside it. So an Execute that runs tasks before it returns does not
// nest: the first of its calls runs all batches, in the loop of run.
func (c *Committer) resubmit() bool {
	return c.execute != nil && c.submitting.Load() == 0 && c.submit() == nil
}

// submit passes the task to Execute.
func (c *Committer) submit() error {
	c.submitting.Add(1)
	defer c.submitting.Add(-1)
	return c.execute(c.task)
}

// flushInPlace runs a batch of one member in the caller if the committer is
// idle, and returns it. It returns nil for a request that Commit has to serve.
func (c *Committer) flushInPlace(off, n int64) *Batch {
	s, err := c.check(off, n)
	if err != nil || n == 0 {
		return nil
	}
	c.mu.Lock()
	now := time.Now()
	if c.phase != idle || c.refusal != nil || c.joiners.recent(now) {
		c.mu.Unlock()
		return nil
	}
	// No other goroutine ever sees this batch: it needs no channel, and never
	// forms.
	b := &Batch{members: 1, born: now}
	b.ranges.add(s, 0)
	c.phase, c.active = running, b
	c.checkLocked()
	c.mu.Unlock()

	more := false
	defer func() { // also when the target calls Goexit
		if more {
			go c.run() // ends when no batch is left; Close waits for that
		}
	}()
	c.flush(b, &more)
	return b
}

// seal takes the forming batch from phase queued to running and returns it.
// From here on requests gather in the next one. It returns nil in any other
// phase.
func (c *Committer) seal() *Batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != queued {
		return nil
	}
	b := c.forming
	c.forming, c.active, c.phase = nil, b, running
	c.checkLocked()
	return b
}

// flush calls the target for a sealed batch and ends it. more is as in end.
func (c *Committer) flush(b *Batch, more *bool) {
	err := ErrGoexit // unless the call returns or panics
	defer func() { c.end(b, err, more) }()
	b.ran = true
	began := time.Now()
	err = c.callTarget(b)
	b.took = time.Since(began)
}

// callTarget has the target flush what b covers, as far as that exists by now.
func (c *Committer) callTarget(b *Batch) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	length := wholeFile.hi
	if c.length != nil {
		length = c.length()
	}
	spans := b.ranges.clip(length)
	if !b.whole || c.length != nil {
		for _, s := range spans {
			b.bytes += s.len()
		}
	}
	if b.whole && c.whole != nil {
		return c.whole()
	}
	for _, s := range spans {
		if err := c.target.FlushRange(s.lo, s.len()); err != nil {
			return err
		}
	}
	return nil
}

// end records the outcome of a sealed batch, wakes its members, and sets more
// to whether another batch waits for a runner, which the caller has to find. It
// sets more also when a callback unwinds the goroutine. A final failure ends
// the forming batch as well.
func (c *Committer) end(b *Batch, err error, more *bool) {
	forming := c.recordOutcome(b, err)
	callbacks := b.resolve(err)
	if forming != nil {
		callbacks = append(callbacks, forming.resolve(err)...)
	}
	defer func() {
		var closers []func(error)
		*more, closers, err = c.next()
		callAll(closers, err)
	}()
	callAll(callbacks, err)
}

// recordOutcome adds the outcome of b to the state of the committer. It returns
// the forming batch if that fails as well.
func (c *Committer) recordOutcome(b *Batch, err error) (failed *Batch) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active = nil
	c.joiners.expected, c.joiners.ended, c.joiners.took = b.members+c.joinedLocked(), now, b.took
	c.tally.add(b, now, err)
	if c.closed && c.closeErr == nil {
		c.closeErr = err
	}
	if c.failure != nil || !isFinal(err) {
		return nil
	}
	c.failure, c.refusal = err, resolvedBatch(err)
	if failed = c.forming; failed != nil {
		c.forming = nil
		c.tally.add(failed, now, err)
	}
	return failed
}

// next leaves phase running. If a batch has formed it reports that there is
// more to run, and the phase is queued. Otherwise the committer is idle, and
// next returns the functions to call with the outcome of closing it.
func (c *Committer) next() (more bool, closers []func(error), outcome error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forming != nil {
		c.phase = queued
		c.checkLocked()
		return true, nil, nil
	}
	c.phase = idle
	c.checkLocked()
	closers, c.closers = c.closers, nil
	return false, closers, c.outcomeLocked()
}

// checkLocked checks what holds whenever mu is released, except while the
// outcome of a batch is on its way to its members.
func (c *Committer) checkLocked() {
	if !invariant.Enabled {
		return
	}
	invariant.Check(c.phase != idle || c.forming == nil && c.active == nil, "flush: idle with a batch")
	invariant.Check(c.phase != queued || c.forming != nil && c.active == nil, "flush: queued without a batch that forms")
	invariant.Check(c.forming == nil || c.forming.members > 0, "flush: a batch forms without members")
	invariant.Check(c.phase != idle || c.refusal != nil || len(c.closers) == 0, "flush: closers without a closing")
}
