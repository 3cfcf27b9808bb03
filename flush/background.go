package flush

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/internal/invariant"
)

// A Policy decides when a [Background] flushes. With neither Interval nor
// DirtyBytes it does so only when told to; a negative limit is none.
type Policy struct {
	// Interval is the longest time from a mark to the start of the flush that
	// covers it. Nothing happens while nothing is dirty.
	Interval time.Duration

	// DirtyBytes is how many marked bytes start a flush.
	DirtyBytes int64

	// OnError is called once, with the error that ended the background, by the
	// goroutine that met it: often one that ends a batch, so it must not block.
	OnError func(error)

	// NoEarlyWriteback leaves all writing to the flush. Otherwise, halfway to
	// either limit, a goroutine of the timer has the target begin writing, if
	// it has a method StartWriteback(off, n int64) error, so that the flush
	// finds less to do: of 64 MiB on ext4 it took 0.3 ms when write-back had
	// begun 20 ms before, and 46 ms otherwise. Bytes that are stored to again
	// after that are written twice.
	NoEarlyWriteback bool
}

// A Background flushes a whole target from time to time, as its [Policy]
// decides, on behalf of writers that do not wait for it. It is safe for
// concurrent use. It owns no goroutine except while it acts, and while nothing
// is dirty no timer either. Call [Background.Close] before the target is
// closed.
//
// The first error ends it: the stores that could not be written may be lost,
// and a later flush would not report that. From then on Barrier returns that
// error, and marks are ignored.
type Background struct {
	committer *Committer
	policy    Policy
	early     int64        // marked bytes that begin early write-back
	dirty     atomic.Int64 // bytes marked since a flush was last requested

	mu             sync.Mutex               // guards the rest; not held while committer, target or a callback runs
	startWriteback func(off, n int64) error // nil: not wanted, or the target has none
	timer          *time.Timer              // runs tick
	since          time.Time                // when the interval began; zero while nothing is dirty
	writing        bool                     // early write-back has begun since the last flush
	paused         bool                     // neither limit counts
	active         int                      // calls under way that may request a flush; Close waits for them
	pending        int                      // batches whose end flushed will be called with
	latest         *Batch                   // of these
	ended          *Batch                   // what Barrier returns in the end; nil until StartClose or an error
	err            error                    // what ended b
	closed         bool                     // StartClose was called
	flushLast      bool                     // and its flush has not been requested
	closers        []func(error)            // called when the last flush is over
}

// NewBackground returns a background flusher for the target of c. Its flushes
// share batches with all other requests made of c, and with other backgrounds.
func NewBackground(c *Committer, p Policy) *Background {
	b := &Background{committer: c, policy: p, early: p.DirtyBytes/2 + p.DirtyBytes%2}
	t, ok := c.target.(interface {
		StartWriteback(off, n int64) error
	})
	if ok && !p.NoEarlyWriteback {
		b.startWriteback = t.StartWriteback
	}
	return b
}

// MarkDirty records that n bytes have been stored to; call it after storing. It
// does not block, and apart from the first mark after a flush it is one atomic
// addition. An n that is not positive is ignored.
func (b *Background) MarkDirty(n int64) {
	if n <= 0 {
		return
	}
	const most = math.MaxInt64 / 2
	n = min(n, most)
	now := b.dirty.Add(n)
	before := now - n
	if now < 0 { // stay high rather than wrap around, as if this were the first mark
		b.dirty.Store(most)
		before, now = 0, most
	}
	passes := func(limit int64) bool { return before < limit && limit <= now }
	if before == 0 || passes(b.early) || passes(b.policy.DirtyBytes) {
		b.mu.Lock()
		b.schedule()
		b.mu.Unlock()
	}
}

// Force flushes what is dirty now, also while paused, and does not wait.
func (b *Background) Force() {
	if b.dirty.Load() > 0 {
		_ = b.Barrier()
	}
}

// Barrier flushes now, dirty or not, also while paused, and returns the batch:
// it is done after a flush that began after this call. Once b has ended it has
// failed with the error that ended it, or after Close with one that wraps
// [fs.ErrClosed].
func (b *Background) Barrier() *Batch {
	b.mu.Lock()
	if b.ended != nil {
		defer b.mu.Unlock()
		return b.ended
	}
	b.active++
	b.resetMarks()
	b.mu.Unlock()
	defer b.deactivate()
	return b.flush()
}

// Pause suspends both limits. Marks are still counted.
func (b *Background) Pause() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paused = true
	b.stopTimer()
}

// Resume ends Pause. If something is dirty the interval begins now, and a limit
// of bytes that has been passed flushes at once.
func (b *Background) Resume() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paused = false
	b.schedule()
}

// Close ends b with one last flush, and waits for that, for all earlier ones
// and for Policy.OnError. It returns the error that ended b, now or before;
// after such an error there is no last flush. Later and concurrent calls wait
// for the same flush. The committer stays open.
func (b *Background) Close() error { return b.CloseContext(context.Background()) }

// CloseContext is like [Background.Close], except that it returns
// context.Cause(ctx) when ctx is done first. The flush still takes place.
func (b *Background) CloseContext(ctx context.Context) error {
	return waitClosed(ctx, b.StartClose)
}

// StartClose begins what [Background.Close] does and does not wait for it.
// done, which may be nil, is called exactly once with what Close returns:
// before StartClose returns if b has ended, and otherwise by the goroutine that
// ends the last flush. It must not block.
func (b *Background) StartClose(done func(error)) {
	b.mu.Lock()
	if done != nil {
		b.closers = append(b.closers, done)
	}
	if !b.closed {
		b.closed = true
		if b.ended == nil {
			b.ended = resolvedBatch(errBackgroundClosed)
		}
		b.stopTimer()
		b.flushLast = true
	}
	b.active++
	b.mu.Unlock()
	b.deactivate()
}

// deactivate ends a tick, a Barrier or a StartClose. The last one of them after
// StartClose requests the last flush, so that no other can come after it.
func (b *Background) deactivate() {
	b.mu.Lock()
	if b.active == 1 && b.flushLast {
		b.flushLast = false
		if b.err == nil {
			b.mu.Unlock()
			b.flush()
			b.mu.Lock()
		}
	}
	b.active--
	b.unlockAndFinish()
}

// flush requests that everything be made durable. It is called while active.
func (b *Background) flush() *Batch {
	batch := b.committer.CommitAll()
	b.mu.Lock()
	isNew := b.latest != batch // or an older one, whose end may well be counted twice
	if isNew {
		b.latest = batch
		b.pending++
	}
	b.mu.Unlock()
	if isNew {
		batch.OnDone(b.flushed)
	}
	return batch
}

// flushed is called with the outcome of each batch.
func (b *Background) flushed(err error) {
	b.fail(err)
	b.mu.Lock()
	b.pending--
	b.unlockAndFinish()
}

// unlockAndFinish unlocks mu and, if nothing is under way any more, calls the
// closers.
func (b *Background) unlockAndFinish() {
	if invariant.Enabled {
		invariant.Check(b.active >= 0 && b.pending >= 0, "flush: background with %d calls active, %d batches pending", b.active, b.pending)
	}
	var closers []func(error)
	if b.active == 0 && b.pending == 0 {
		closers, b.closers = b.closers, nil
	}
	err := b.err
	b.mu.Unlock()
	callAll(closers, err)
}

// fail ends b if err is not nil and nothing has ended it before.
func (b *Background) fail(err error) {
	b.mu.Lock()
	if err == nil || b.err != nil {
		b.mu.Unlock()
		return
	}
	b.err, b.ended = err, resolvedBatch(err)
	b.stopTimer()
	b.mu.Unlock()
	if b.policy.OnError != nil {
		b.policy.OnError(err)
	}
}

// resetMarks begins a new count: all marks so far belong to a flush that is
// about to be requested. A mark that comes between the two is flushed twice,
// never left out. The caller holds mu.
func (b *Background) resetMarks() {
	b.dirty.Store(0)
	b.writing = false
	b.stopTimer()
}

// stopTimer stops the timer. A tick that has begun looks for itself whether
// there is something to do. The caller holds mu.
func (b *Background) stopTimer() {
	b.since = time.Time{}
	if b.timer != nil {
		b.timer.Stop()
	}
}
