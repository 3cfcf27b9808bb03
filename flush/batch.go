package flush

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A Batch is a group of requests that one call of the target serves: all its
// members share its outcome. It is safe for concurrent use. Batches come from
// [Committer.Commit] and its kin; the zero value is not valid.
type Batch struct {
	// The committer's mu guards these while the batch forms; once it is sealed its
	// runner owns them.
	cover   cover
	whole   bool // a member asked for the whole target
	members int
	born    time.Time     // when the first member came
	bytes   int64         // that the calls of the target spanned, as far as known
	took    time.Duration // those calls

	done chan struct{} // closed after err is set; nil when nobody but the runner knows the batch
	err  error         // written once, before done is closed

	mu        sync.Mutex // guards callbacks and resolved
	callbacks []func(error)
	resolved  bool

	makeSlot sync.Mutex // serialises the make functions of Attach; taken before mu
	slot     atomic.Pointer[any]
}

// newBatch is a forming batch without members.
func newBatch() *Batch { return &Batch{done: make(chan struct{})} }

// resolvedBatch is a batch that is over and had no members.
func resolvedBatch(err error) *Batch {
	b := newBatch()
	b.resolve(err)
	return b
}

// Done is closed when the batch is over.
func (b *Batch) Done() <-chan struct{} { return b.done }

// Err is nil while the batch forms or runs, and its outcome afterwards: nil when
// the ranges of all members are durable.
func (b *Batch) Err() error {
	select {
	case <-b.done:
		return b.err
	default:
		return nil
	}
}

// Wait blocks until the batch is over and returns its outcome. When ctx is done
// first it returns context.Cause(ctx); that ends the wait, not the batch. If both
// have happened the outcome wins.
func (b *Batch) Wait(ctx context.Context) error {
	cancelled := ctx.Done()
	if cancelled == nil {
		<-b.done
		return b.err
	}
	select {
	case <-b.done:
		return b.err
	case <-cancelled:
	}
	select {
	case <-b.done:
		return b.err
	default:
		return context.Cause(ctx)
	}
}

// OnDone has fn called with the outcome, exactly once: by the goroutine that ends
// the batch, after Done is closed, or at once in the caller when the batch is over
// already. No lock is held, so fn may make new requests; it must not block, for the
// next batch of the committer waits for it.
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

// Attach returns the value that goes with the batch, the same for all callers: the
// first one makes it, in its own goroutine, while others wait. A layer that answers
// with objects of its own, futures say, makes one a batch and lets make call OnDone
// to resolve it; joining then allocates nothing. A make that panics leaves the batch
// without a value.
//
// There is one value a batch, so it belongs to whoever made the [Committer].
func (b *Batch) Attach(make func() any) any {
	if v := b.slot.Load(); v != nil {
		return *v
	}
	b.makeSlot.Lock()
	defer b.makeSlot.Unlock()
	if v := b.slot.Load(); v != nil {
		return *v
	}
	v := make()
	b.slot.Store(&v)
	return v
}

// resolve ends the batch with err and returns the callbacks for its caller to call,
// without locks. It is called once.
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

// call calls every fn, the rest even when one panics.
func call(fns []func(error), err error) {
	if len(fns) == 0 {
		return
	}
	defer func() { call(fns, err) }()
	for len(fns) > 0 {
		fn := fns[0]
		fns = fns[1:]
		fn(err)
	}
}
