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

// due says what is to be done now, or in how long there will be; 0 is never.
// mu is held.
func (b *Background) due() (do action, in time.Duration) {
	dirty := b.dirty.Load()
	if dirty == 0 || b.paused || b.over != nil {
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

// schedule sets the timer for what is due next. What is due now is done by the timer's
// goroutine as well, so that no caller of MarkDirty ever does it. mu is held.
func (b *Background) schedule() {
	do, in := b.due()
	switch {
	case do == wait && in == 0:
	case b.timer == nil:
		b.timer = time.AfterFunc(in, b.tick)
	default:
		b.timer.Reset(in)
	}
}

// tick does what is due. The timer runs it in a goroutine of its own, which Close waits
// for.
func (b *Background) tick() {
	b.mu.Lock()
	if b.over != nil {
		b.mu.Unlock()
		return
	}
	b.acting++
	do, _ := b.due()
	start := b.startWriteback
	switch do {
	case flushAll:
		b.clean()
	case writeBack:
		b.writing = true
	}
	b.mu.Unlock()
	defer b.acted()

	switch do {
	case flushAll:
		b.flush()
	case writeBack:
		b.write(start)
	}
	b.mu.Lock()
	b.schedule()
	b.mu.Unlock()
}

// write begins write-back of the whole target. Its error counts like that of a flush:
// the kernel may report a page that could not be written here, and never again.
func (b *Background) write(start func(off, n int64) error) {
	n := everything.len()
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
