package flush

import (
	"errors"
	"time"
)

// An action is what a [Background] has to do.
type action uint8

const (
	wait action = iota
	writeBack
	flushAll
)

// nextAction returns what is to be done now, or after how long something will
// be; 0 means never. The caller holds mu.
func (b *Background) nextAction() (do action, in time.Duration) {
	dirty := b.dirty.Load()
	if dirty == 0 || b.paused || b.ended != nil {
		return wait, 0
	}
	p := b.policy
	begin := b.startWriteback != nil && !b.writing
	switch {
	case p.DirtyBytes > 0 && dirty >= p.DirtyBytes:
		return flushAll, 0
	case p.DirtyBytes > 0 && dirty >= b.early && begin:
		return writeBack, 0
	case p.Interval <= 0:
		return wait, 0
	}
	if b.since.IsZero() {
		b.since = time.Now()
	}
	passed := time.Since(b.since)
	switch half := p.Interval / 2; {
	case passed >= p.Interval:
		return flushAll, 0
	case !begin:
		return wait, p.Interval - passed
	case passed < half:
		return wait, half - passed
	default:
		return writeBack, 0
	}
}

// schedule sets the timer for the next action. An action that is due now is
// done by the timer's goroutine as well, so that no caller of MarkDirty ever
// does it. The caller holds mu.
func (b *Background) schedule() {
	do, in := b.nextAction()
	switch {
	case do == wait && in == 0:
	case b.timer == nil:
		b.timer = time.AfterFunc(in, b.tick)
	default:
		b.timer.Reset(in)
	}
}

// tick does what is due. The timer runs it in a goroutine of its own, for which
// Close waits.
func (b *Background) tick() {
	b.mu.Lock()
	if b.ended != nil {
		b.mu.Unlock()
		return
	}
	b.active++
	do, _ := b.nextAction()
	start := b.startWriteback
	switch do {
	case flushAll:
		b.resetMarks()
	case writeBack:
		b.writing = true
	}
	b.mu.Unlock()
	defer b.deactivate()

	switch do {
	case flushAll:
		b.flush()
	case writeBack:
		b.startEarly(start)
	}
	b.mu.Lock()
	b.schedule()
	b.mu.Unlock()
}

// startEarly begins write-back of the whole target. Its error counts like that
// of a flush: the kernel may report a page that could not be written here, and
// never again.
func (b *Background) startEarly(start func(off, n int64) error) {
	n := wholeFile.len()
	if length := b.committer.length; length != nil {
		n = length()
	}
	err := start(0, n)
	if errors.Is(err, errors.ErrUnsupported) {
		b.mu.Lock()
		b.startWriteback = nil
		b.mu.Unlock()
		return
	}
	b.fail(err)
}
