package async

import (
	"context"
	"errors"
	"io/fs"
	"sync"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/invariant"
)

// flushes returns the committer of f. It is made at first use, as many files are
// only read.
func (f *File) flushes() *flush.Committer {
	if c := f.committer.Load(); c != nil {
		return c
	}
	c := flush.NewCommitter(&target{f.core}, flush.Options{
		Execute: func(task func(dropped error)) error {
			return f.pool.flushers.execute(f.mediumOf().Device, opFlush, task)
		},
		Wait: &f.pool.flushWait, Run: &f.pool.flushRun,
	})
	if f.committer.CompareAndSwap(nil, c) {
		return c
	}
	return f.committer.Load()
}

// Flush makes every byte of the window durable, as [core.File.Flush] does. All
// callers that one flush serves share its future: it has one outcome, and none
// of them can cancel it.
//
// A call covers every store that was made before it. It joins a batch that has
// not begun: while one flush runs, all further requests gather in the next one,
// so that a thousand of them cost one worker and a few system calls. Once a
// flush has failed every later one fails as well, see [core.FlushError].
func (f *File) Flush() *Future[struct{}] {
	if refused := f.unflushable(); refused != nil {
		return refused
	}
	return f.shared(f.flushes().CommitAll())
}

// FlushRange is Flush for the bytes [off, off+n) of the window; a batch covers
// the smallest range that contains those of all its members. It fails with
// [core.ErrRange] when they do not lie within the window now. What is cut off
// before the batch begins needs no flushing. An empty range is durable already.
func (f *File) FlushRange(off, n int64) *Future[struct{}] {
	if err := f.checkRange("flush", off, n); err != nil {
		return Failed[struct{}](err)
	}
	if refused := f.unflushable(); refused != nil {
		return refused
	}
	return f.shared(f.flushes().Commit(off, n))
}

// unflushable returns the future of a flush that needs no batch, and nil if a
// batch is needed.
func (f *File) unflushable() *Future[struct{}] {
	switch {
	case f.closing.Load():
		return failClosed[struct{}](f, "flush")
	case f.memoryOnly:
		return f.succeeded
	case f.core.Access() != core.ReadWrite:
		return Failed[struct{}](f.pathError("flush", core.ErrReadOnly))
	}
	return nil
}

// shared returns the one future of a batch. It allocates only for the first
// member.
func (f *File) shared(b *flush.Batch) *Future[struct{}] {
	out, created := f.batches.future(b)
	if created {
		b.OnDone(func(err error) { out.resolve(struct{}{}, f.flushError(err)) })
	}
	return out
}

// batchFutures has the future of each batch of a committer that is not over. Two
// entries are enough: at most one batch runs and one forms.
type batchFutures struct {
	mu      sync.Mutex // a leaf; guards entries
	entries [2]batchFuture
}

type batchFuture struct {
	batch  *flush.Batch
	future *Future[struct{}]
}

// future returns the future of b, and reports whether it was created by this
// call, so that the caller has to resolve it.
func (s *batchFutures) future(b *flush.Batch) (out *Future[struct{}], created bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unused := -1
	for i, e := range s.entries {
		if e.batch == b {
			return e.future, false
		}
		if e.batch == nil || isOver(e.batch) {
			unused = i
		}
	}
	out = newPromise[struct{}]()
	if !isOver(b) {
		invariant.Check(unused >= 0, "async: three batches that are not over")
		s.entries[unused] = batchFuture{b, out}
	}
	return out, true
}

// running reports whether a batch is not over.
func (s *batchFutures) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.batch != nil && !isOver(e.batch) {
			return true
		}
	}
	return false
}

func isOver(b *flush.Batch) bool {
	select {
	case <-b.Done():
		return true
	default:
		return false
	}
}

// flushError returns the error of a batch as the methods of File have it.
func (f *File) flushError(err error) error {
	if err == ErrOverloaded || err == ErrClosed {
		return err
	}
	return f.pathError("flush", err)
}

// A Background flushes a file at intervals or after so many bytes, as set by a
// [flush.Policy], on behalf of writers that do not wait for it. It is safe for
// concurrent use. It comes from [File.StartBackground] and shares batches with
// all other flushes of the file. The first error ends it, see
// [flush.Background].
type Background struct {
	file *File
	b    *flush.Background
}

// errRunning is the error of a second StartBackground.
var errRunning = errors.New("already flushed in the background")

// StartBackground begins flushing the file in the background, until the
// Background or the file is closed. From now on [File.WriteAt] marks what it
// writes as dirty; stores made in other ways must be reported with MarkDirty. A
// file has one background at a time.
func (f *File) StartBackground(p flush.Policy) (*Background, error) {
	const name = "start background"
	if f.core.Access() != core.ReadWrite {
		return nil, f.pathError(name, core.ErrReadOnly)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closing.Load():
		return nil, f.pathError(name, fs.ErrClosed)
	case f.background.Load() != nil:
		return nil, f.pathError(name, errRunning)
	}
	b := &Background{file: f, b: flush.NewBackground(f.flushes(), p)}
	f.background.Store(b)
	return b, nil
}

// MarkDirty reports that n bytes have been stored; call it after storing. It
// never blocks.
func (b *Background) MarkDirty(n int64) { b.b.MarkDirty(n) }

// Barrier flushes now, whether or not anything is marked dirty, and resolves
// after a flush that began after this call. Once the background has ended it
// fails with the error that ended it, or with [fs.ErrClosed].
func (b *Background) Barrier() *Future[struct{}] { return b.file.shared(b.b.Barrier()) }

// Pause suspends flushing by time and by amount; Barrier still flushes. Marks
// are counted meanwhile.
func (b *Background) Pause() { b.b.Pause() }

// Resume ends Pause.
func (b *Background) Resume() { b.b.Resume() }

// Close ends the background with one last flush, waits for that, and returns
// the error that ended the background if there was one. The file may then start
// another one. Closing again waits for the same flush.
func (b *Background) Close() error { return b.CloseContext(context.Background()) }

// CloseContext is like [Background.Close], except that it returns
// context.Cause(ctx) when ctx is done first. The flush still takes place.
func (b *Background) CloseContext(ctx context.Context) error { return b.StartClose(ctx).Wait() }

// StartClose begins what [Background.Close] does, and holds no goroutine while
// it waits. When ctx is done first the future fails with its cause, and the
// closing goes on.
func (b *Background) StartClose(ctx context.Context) *Future[struct{}] {
	out := newPromise[struct{}]()
	b.b.StartClose(func(err error) {
		b.file.background.CompareAndSwap(b, nil)
		out.resolve(struct{}{}, b.file.flushError(err))
	})
	failWhenDone(ctx, out)
	return out
}
