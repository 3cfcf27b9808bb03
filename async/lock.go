package async

import (
	"context"
	"errors"
	"io/fs"
	"sync"

	"github.com/fmmap-go/fmmap/lock"
)

// A FileLock is an advisory lock that [File.Lock] has acquired. It is safe for
// concurrent use.
type FileLock struct {
	file *File
	lock *lock.Lock
	mode lock.Mode

	cancel context.CancelCauseFunc // ends the wait; nil without one; guarded by file.mu

	mu       sync.Mutex
	released bool // guarded by mu
}

// Mode returns the mode in which the lock is held.
func (l *FileLock) Mode() lock.Mode { return l.mode }

// Release releases the lock and wakes the next waiter. It does not block.
// Releasing again does nothing, and neither does releasing after the file has
// been closed, which releases its locks by itself.
//
// An error is the system's; the lock is then still held, and Release may be
// called again.
func (l *FileLock) Release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.released {
		return nil
	}
	err := l.lock.Release()
	switch {
	case errors.Is(err, fs.ErrClosed): // the file below is closed, and its locks are gone
		err = nil
	case err != nil && !errors.Is(err, lock.ErrLost):
		return err
	}
	l.released = true
	l.file.removeLock(l)
	return err
}

// release is Release where no caller is left to receive the error.
func (l *FileLock) release() { _ = l.Release() }

// Lock acquires the file's advisory lock in mode m, until the FileLock is
// released or the file closed. It is independent of the lock that opening takes.
// It excludes every other holder of the file's lock, other calls of Lock on this
// File included.
//
// Waiters in this process are served in the order of their calls and hold no
// worker. When ctx is done first the future fails with its cause, and a lock
// that arrives later is released; so is one in a future that is collected before
// any caller has taken it. Closing the file ends the wait with [fs.ErrClosed].
// For memory without a file the error is [errors.ErrUnsupported].
func (f *File) Lock(ctx context.Context, m lock.Mode) *Future[*FileLock] {
	const name = "lock"
	switch {
	case ctx.Err() != nil:
		return Failed[*FileLock](context.Cause(ctx))
	case f.closing.Load():
		return failClosed[*FileLock](f, name)
	case f.memoryOnly:
		return Failed[*FileLock](f.pathError(name, errors.ErrUnsupported))
	}
	l := &FileLock{file: f, lock: f.core.NewLock(), mode: m}
	if !f.addLock(l, nil) {
		return failClosed[*FileLock](f, name)
	}
	switch err := l.lock.Try(m); {
	case err == nil:
		return readyOwned(l, (*FileLock).release)
	case !errors.Is(err, lock.ErrLocked):
		f.removeLock(l)
		return Failed[*FileLock](err)
	}
	wait, cancel := context.WithCancelCause(ctx)
	if !f.addLock(l, cancel) {
		cancel(nil)
		f.removeLock(l)
		return failClosed[*FileLock](f, name)
	}
	out := newOwned((*FileLock).release)
	l.lock.AcquireFunc(wait, m, func(err error) {
		cancel(nil)
		if err == nil {
			out.resolveFor(ctx, l, nil)
			return
		}
		f.removeLock(l)
		if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) {
			err = cause
		}
		out.resolve(nil, err)
	})
	return out
}

// addLock records a lock, and what ends the wait for it, for Close to end. It
// reports false when closing has begun.
func (f *File) addLock(l *FileLock, cancel context.CancelCauseFunc) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing.Load() {
		return false
	}
	if f.locks == nil {
		f.locks = make(map[*FileLock]struct{})
	}
	f.locks[l] = struct{}{}
	l.cancel = cancel
	return true
}

// removeLock undoes addLock.
func (f *File) removeLock(l *FileLock) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.locks, l)
}

// cancelWaits ends the waits for locks, when closing has begun. A lock that is
// already held is not affected.
func (f *File) cancelWaits() {
	f.mu.Lock()
	var cancels []context.CancelCauseFunc
	for l := range f.locks {
		if l.cancel != nil {
			cancels = append(cancels, l.cancel)
		}
	}
	f.mu.Unlock()
	for _, cancel := range cancels {
		cancel(fs.ErrClosed)
	}
}

// releaseLocks releases the locks that are held, when the file is about to be
// closed.
func (f *File) releaseLocks() {
	f.mu.Lock()
	locks := make([]*FileLock, 0, len(f.locks))
	for l := range f.locks {
		locks = append(locks, l)
	}
	f.mu.Unlock()
	for _, l := range locks {
		l.release()
	}
}
