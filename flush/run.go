package flush

import (
	"runtime/debug"
	"time"
)

// start finds a runner for the batch that made an idle committer queued.
func (c *Committer) start() {
	for {
		if c.execute == nil {
			go c.carryOn() // ends when no batch is left; Close waits for that
			return
		}
		if err := c.submit(); err == nil || !c.fail(err) {
			return
		}
	}
}

// submit gives the task to Execute. A panic there counts as a refusal, unless a batch has been taken
// meanwhile: then it comes from a callback, out of a task that Execute has run before it returned.
func (c *Committer) submit() (err error) {
	before := c.sealed.Load()
	defer func() {
		if c.sealed.Load() != before {
			return // and let it go on
		}
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return c.execute(c.task)
}

// Drop tells the committer that its task will not be run after all: an executor that
// throws away what is queued, to close for instance, calls it for each task it threw
// away. The members of the batch fail with err, which must not be nil. If the task has
// been run meanwhile Drop does nothing.
func (c *Committer) Drop(err error) {
	if c.fail(err) {
		c.start()
	}
}

// fail ends the batch that waits for a runner, if there is one, and says whether
// another one has formed since.
func (c *Committer) fail(err error) (more bool) {
	b := c.seal()
	return b != nil && c.end(b, err)
}

// carryOn sees to it that all batches run that form one after the other. Whoever
// made the committer queued calls it.
func (c *Committer) carryOn() {
	if c.execute != nil {
		c.reenter()
		return
	}
	for c.runNext() {
	}
}

// runTask is the task given to Execute: it runs one batch, and if another one has
// formed meanwhile, sends that to the tail of the executor's queue.
func (c *Committer) runTask() {
	if c.runNext() {
		c.reenter()
	}
}

// reenter gives the forming batch to Execute, or runs it here if that refuses.
//
// With an executor that runs tasks before it returns, runTask and reenter would call
// each other ever deeper. So a reenter inside another one leaves word and
// returns, and the outer one submits again.
func (c *Committer) reenter() {
	c.mu.Lock()
	if c.reentering {
		c.reenterAgain = true
		c.mu.Unlock()
		return
	}
	c.reentering = true
	c.mu.Unlock()
	again := true
	defer func() {
		if again && c.word(false) { // a callback panics, or somebody has called Goexit
			go c.carryOn() // ends when no batch is left; Close waits for that
		}
	}()
	for again {
		if c.submit() == nil || !c.runNext() {
			again = c.word(true)
		}
	}
}

// word says whether word has been left for the reenter under way. That is over if not, or if it cannot stay.
func (c *Committer) word(stay bool) (again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	again = c.reenterAgain
	c.reentering, c.reenterAgain = again && stay, false
	return again
}

// runNext runs the forming batch and says whether another one has formed since. It
// does nothing when the batch has been run or dropped already.
func (c *Committer) runNext() (more bool) {
	c.gather()
	b := c.seal()
	return b != nil && c.run(b)
}

// seal takes the forming batch from phase queued to running; from here on requests
// gather in the next one. It comes before the call of the target: a member that joined
// later might have stored after the pages were written.
func (c *Committer) seal() *Batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != queued {
		return nil
	}
	b := c.forming
	c.forming, c.active, c.phase = nil, b, running
	c.sealed.Add(1)
	return b
}

// run flushes a sealed batch, ends it, and says whether another one has formed since.
func (c *Committer) run(b *Batch) (more bool) {
	var err error
	returned := false
	defer func() {
		exits := false
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		} else if !returned {
			err, exits = ErrGoexit, true
		}
		if more = c.end(b, err); more && exits {
			go c.carryOn() // ends when no batch is left; Close waits for that
		}
	}()
	began := time.Now()
	err = c.call(b)
	b.took = time.Since(began)
	returned = true
	return
}

// call has the target flush what b covers, as much of it as there is by now.
func (c *Committer) call(b *Batch) error {
	length := everything.hi
	if c.length != nil {
		length = c.length()
	}
	spans := b.cover.cut(length)
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

// end gives a sealed batch its outcome, wakes its members, and says whether another
// one is waiting for a runner. A final failure ends the forming batch too.
func (c *Committer) end(b *Batch, err error) (more bool) {
	forming := c.settle(b, err)
	callbacks := b.resolve(err)
	if forming != nil {
		callbacks = append(callbacks, forming.resolve(err)...)
	}
	called := false
	defer func() {
		if more = c.step(); more && !called { // a callback panicked
			go c.carryOn() // ends when no batch is left; Close waits for that
		}
		if !more {
			c.closeDone()
		}
	}()
	call(callbacks, err)
	called = true
	return
}

// settle books the outcome of b, and returns the forming batch if that fails as well.
func (c *Committer) settle(b *Batch, err error) (failed *Batch) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active = nil
	c.crowd.expected, c.crowd.ended, c.crowd.took = b.members+c.joinedLocked(), now, b.took
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

// step leaves phase running, once the members of the batch have been woken: for
// queued if another batch has formed, which is then the caller's to get run.
func (c *Committer) step() (more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forming != nil {
		c.phase = queued
		return true
	}
	c.phase = idle
	return false
}

// closeDone calls the closers, now that the committer is idle.
func (c *Committer) closeDone() {
	c.mu.Lock()
	closers, err := c.closers, c.outcomeLocked()
	c.closers = nil
	c.mu.Unlock()
	call(closers, err)
}
