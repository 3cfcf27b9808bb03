package async

import (
	"context"
	"errors"
	"io/fs"
	"sync"

	"github.com/fmmap-go/fmmap/lock"
)

// A Held is an advisory lock that [File.Lock] has acquired.
type Held struct {
	file *File
	lock *lock.Lock
	mode lock.Mode

	cancel context.CancelCauseFunc // of the wait; nil without one; guarded by file.mu

	mu   sync.Mutex
	over bool // guarded by mu
}

// Mode is how the lock is held.
func (h *Held) Mode() lock.Mode { return h.mode }

// Release gives the lock back, and wakes who waits for it. It does not block.
// Releasing again does nothing, and neither does releasing after the file has
// been closed, which gives its locks back by itself.
//
// An error is the system's; the lock is then held still, and Release may be
// tried again.
func (h *Held) Release() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return nil
	}
	err := h.lock.Release()
	switch {
	case errors.Is(err, fs.ErrClosed): // the file below is, and its locks are gone
		err = nil
	case err != nil && !errors.Is(err, lock.ErrLost):
		return err
	}
	h.over = true
	h.file.forget(h)
	return err
}

func (h *Held) giveBack() { _ = h.Release() } // nobody is there to be told

// Lock acquires the file's advisory lock in mode m, for as long as the Held is
// not released and the file not closed: beside the lock that opening takes, and
// not hindered by that. Everybody else is kept out, other calls of Lock on this
// same file included.
//
// Those who wait in this process are served in the order they came and hold no
// worker. When ctx is done first the future fails with its cause, and a lock
// that arrives later is given back; so is one in a future that everybody has
// dropped. Closing the file ends the wait with [fs.ErrClosed]. Memory without a
// file answers [errors.ErrUnsupported].
func (f *File) Lock(ctx context.Context, m lock.Mode) *Future[*Held] {
	const name = "lock"
	switch {
	case ctx.Err() != nil:
		return Failed[*Held](context.Cause(ctx))
	case f.shut.Load():
		return closed[*Held](f, name)
	case f.only:
		return Failed[*Held](f.fail(name, errors.ErrUnsupported))
	}
	h := &Held{file: f, lock: f.core.NewLock(), mode: m}
	if !f.remember(h, nil) {
		return closed[*Held](f, name)
	}
	switch err := h.lock.Try(m); {
	case err == nil:
		return readyOwned(h, (*Held).giveBack)
	case !errors.Is(err, lock.ErrLocked):
		f.forget(h)
		return Failed[*Held](err)
	}
	wait, cancel := context.WithCancelCause(ctx)
	if !f.remember(h, cancel) {
		cancel(nil)
		f.forget(h)
		return closed[*Held](f, name)
	}
	out := newOwned((*Held).giveBack)
	h.lock.AcquireFunc(wait, m, func(err error) {
		cancel(nil)
		if err == nil {
			out.resolveFor(ctx, h, nil)
			return
		}
		f.forget(h)
		if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) {
			err = cause
		}
		out.resolve(nil, err)
	})
	return out
}

// remember notes a lock, and what ends the wait for it, for Close to know. It
// reports false when closing has begun.
func (f *File) remember(h *Held, cancel context.CancelCauseFunc) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shut.Load() {
		return false
	}
	if f.locks == nil {
		f.locks = make(map[*Held]struct{})
	}
	f.locks[h] = struct{}{}
	h.cancel = cancel
	return true
}

// forget undoes remember.
func (f *File) forget(h *Held) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.locks, h)
}

// endWaits ends the waits for locks, when closing has begun.
func (f *File) endWaits() {
	f.mu.Lock()
	var waits []context.CancelCauseFunc
	for h := range f.locks {
		if h.cancel != nil {
			waits = append(waits, h.cancel)
		}
	}
	f.mu.Unlock()
	for _, cancel := range waits {
		cancel(fs.ErrClosed) // does nothing to a lock that is held by now
	}
}

// unlock gives back the locks that are held, when the file is about to close.
func (f *File) unlock() {
	f.mu.Lock()
	held := make([]*Held, 0, len(f.locks))
	for h := range f.locks {
		held = append(held, h)
	}
	f.mu.Unlock()
	for _, h := range held {
		h.giveBack()
	}
}
