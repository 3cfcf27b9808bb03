package core

import (
	"context"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// Close unmaps and closes the file, after every pin has been released and every
// operation has ended; new ones return [fs.ErrClosed] at once, and so does a
// second Close. It does not flush: bytes that were stored are in the page cache
// and survive the process, not a power cut.
//
// The advisory lock is released after the last pin and the unmapping, so that
// no goroutine of this process stores any longer when another process gets it.
func (f *File) Close() error { return f.CloseContext(context.Background()) }

// CloseContext is [File.Close] that stops waiting when ctx is done, and returns
// its cause; the file stays closed to new operations, and the last Release then
// finishes the closing.
func (f *File) CloseContext(ctx context.Context) error {
	return f.close(ctx, &closeStep{size: -1})
}

// CloseTruncate is [File.Close] that sets the length of the file once nothing
// of it is mapped any longer. Files that are not [ReadWrite], and frozen ones,
// return [ErrReadOnly] and stay open.
func (f *File) CloseTruncate(size int64) error {
	switch {
	case f.access != ReadWrite:
		return f.fail("close", ErrReadOnly)
	case f.device:
		return f.fail("close", errDevice)
	case size < 0:
		return f.fail("close", ErrRange)
	}
	return f.close(context.Background(), &closeStep{size: size})
}

// StartClose begins a Close and waits for nothing. When Finish will not have to
// wait, it calls ready as [File.StartTruncate] does: exactly once, as a closing
// cannot be canceled.
func (f *File) StartClose(ready func(*Change)) (*Change, error) {
	return f.submit("close", &closeStep{size: -1}, ready)
}

func (f *File) close(ctx context.Context, s *closeStep) error {
	c, err := f.submit("close", s, nil)
	if err != nil {
		return err
	}
	if !c.becomesReady(ctx) {
		c.Detach()
		return f.fail("close", context.Cause(ctx))
	}
	return c.Finish()
}

// closeStep is a Close; the file gets size bytes unless that is negative.
type closeStep struct {
	plainStep
	size int64
}

// submitted publishes the closing at once, so that it shows even while it is
// queued behind other changes.
func (s *closeStep) submitted(f *File) error {
	if s.size >= 0 && f.freezes() {
		return ErrReadOnly
	}
	f.closing = true
	f.publish(nil)
	return nil
}

func (s *closeStep) cancellable() bool { return false }

func (s *closeStep) start(*File) (*wait, error) { return untilUnused(), nil }
func (s *closeStep) undo(*File)                 {}

// apply goes on after an error, to give back what it can, and returns the first
// one.
func (s *closeStep) apply(_ context.Context, f *File) error {
	f.mu.Lock()
	f.reap()
	r, first := f.gen.Load().region, f.reapErr
	f.mu.Unlock()

	keep := func(err error) {
		if first == nil {
			first = err
		}
	}
	keep(r.unmap())
	f.trackClose()
	if f.file == nil {
		return first
	}
	if s.size >= 0 {
		keep(s.resize(f))
	}
	if f.dir.removes() {
		keep(f.removeAtClose())
	}
	if f.lock != nil {
		keep(f.lock.Release())
	}
	keep(f.dir.close())
	keep(f.file.Close())
	return first
}

func (s *closeStep) resize(f *File) error {
	oldSize, err := f.fileSize()
	if err != nil {
		return err
	}
	if s.size > oldSize {
		return f.extendFile(oldSize, s.size)
	}
	return sys.Truncate(f.file, s.size)
}
