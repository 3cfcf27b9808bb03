package async

import (
	"context"
	"errors"
	"io/fs"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
)

// A Background flushes a file now and then, as a [flush.Policy] says, on behalf
// of writers that do not wait for it. It is safe for concurrent use. It comes
// from [File.StartBackground] and shares batches with all other flushes of the
// file. The first error ends it, see [flush.Background].
type Background struct {
	file *File
	b    *flush.Background
}

// errRunning is the answer to a second StartBackground.
var errRunning = errors.New("flushes in the background already")

// StartBackground begins flushing the file in the background, until Stop or
// Close. From now on [File.WriteAt] marks what it writes as dirty; stores by
// other ways are to be told with MarkDirty. A file has one background at a time.
func (f *File) StartBackground(p flush.Policy) (*Background, error) {
	const name = "start background"
	if f.core.Access() != core.ReadWrite {
		return nil, f.fail(name, core.ErrReadOnly)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.shut.Load():
		return nil, f.fail(name, fs.ErrClosed)
	case f.dirty.Load() != nil:
		return nil, f.fail(name, errRunning)
	}
	b := &Background{file: f, b: flush.NewBackground(f.committer, p)}
	f.dirty.Store(b)
	return b, nil
}

// MarkDirty says that n bytes have been stored to; call it after storing. It
// never blocks.
func (b *Background) MarkDirty(n int64) { b.b.MarkDirty(n) }

// Barrier flushes now, dirty or not, and resolves after a flush that began after
// this call. Once the background has ended it answers with the error that ended
// it, or [fs.ErrClosed].
func (b *Background) Barrier() *Future[struct{}] { return b.file.shared(b.b.Barrier()) }

// Pause suspends flushing by time and by amount; Barrier still flushes. Marks
// are counted meanwhile.
func (b *Background) Pause() { b.b.Pause() }

// Resume ends Pause.
func (b *Background) Resume() { b.b.Resume() }

// Stop ends the background with one last flush. Its future resolves when that is
// over, with the error that ended the background if there was one. The file may
// then start another one.
func (b *Background) Stop() *Future[struct{}] {
	out := newPromise[struct{}]()
	go func() { // ends with the flush
		err := b.b.Stop(context.Background())
		b.file.dirty.CompareAndSwap(b, nil)
		out.resolve(struct{}{}, b.file.flushError(err))
	}()
	return out
}
