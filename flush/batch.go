package flush

import (
	"context"
	"sync"
	"time"
)

// A Batch is a group of requests that one call of the target serves: all its
// members share its outcome. It is safe for concurrent use. Batches come from
// [Committer.Commit], [Committer.CommitAll] and [Background.Barrier]; the zero
// value is not valid.
type Batch struct {
	// The committer's mu guards these while the batch forms; once it is sealed
	// its runner owns them.
	ranges  rangeSet
	whole   bool // a member asked for the whole target
	ran     bool // the calls of the target were made
	members int
	born    time.Time     // when the first member joined
	bytes   int64         // that the calls of the target spanned, as far as known
	took    time.Duration // those calls

	done chan struct{} // closed after err is set; nil when only the runner knows the batch
	err  error         // written once, before done is closed

	mu        sync.Mutex // guards callbacks and resolved
	callbacks []func(error)
	resolved  bool
}

// newBatch returns a forming batch without members.
func newBatch() *Batch { return &Batch{done: make(chan struct{})} }

// resolvedBatch returns a batch that is over and had no members.
func resolvedBatch(err error) *Batch {
	b := newBatch()
	b.resolve(err)
	return b
}

// Done returns a channel that is closed when the batch is over.
func (b *Batch) Done() <-chan struct{} { return b.done }

// Err returns nil while the batch forms or runs, and its outcome afterwards:
// nil when the ranges of all members are durable.
func (b *Batch) Err() error {
	select {
	case <-b.done:
		return b.err
	default:
		return nil
	}
}

// Wait blocks until the batch is over and returns its outcome. When ctx is done
// first it returns context.Cause(ctx); that ends the wait, not the batch. If
// both have happened it returns the outcome.
func (b *Batch) Wait(ctx context.Context) error {
	canceled := ctx.Done()
	if canceled == nil {
		<-b.done
		return b.err
	}
	select {
	case <-b.done:
		return b.err
	case <-canceled:
	}
	select {
	case <-b.done:
		return b.err
	default:
		return context.Cause(ctx)
	}
}

// OnDone arranges for fn to be called with the outcome, exactly once: by the
// goroutine that ends the batch, after Done is closed, or at once in the caller
// when the batch is over already. No lock is held, so fn may make new requests.
// It must not block, for the next batch of the committer waits for it.
func (b *Batch) OnDone(fn func(error)) {
	b.mu.Lock()
	if !b.resolved {
		b.callbacks = append(b.callbacks, fn)
		b.mu.Unlock()
		return
	}
	b.mu.Unlock()
	fn(b.err)
}

// resolve ends the batch with err and returns the callbacks for its caller to
// call, without locks. It is called once.
func (b *Batch) resolve(err error) []func(error) {
	b.err = err
	b.mu.Lock()
	defer b.mu.Unlock()
	b.resolved = true
	callbacks := b.callbacks
	b.callbacks = nil
	if b.done != nil {
		close(b.done)
	}
	return callbacks
}

// callAll calls every function with err, the rest even when one panics.
func callAll(fns []func(error), err error) {
	if len(fns) == 0 {
		return
	}
	defer func() { callAll(fns, err) }()
	for len(fns) > 0 {
		fn := fns[0]
		fns = fns[1:]
		fn(err)
	}
}
