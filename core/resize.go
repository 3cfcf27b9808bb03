package core

import (
	"context"
	"errors"
	"math"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// Truncate sets the length of the file, not of the window, to size bytes: size
// includes [Options].Offset, where the window begins. A window that reaches to
// the end of the file follows; one of a fixed length is clipped, and comes back
// when the file grows again.
//
// Growing waits for nothing and moves no pinned bytes. New bytes are zero and
// have blocks, unless the file was opened Sparse. Shrinking makes new
// operations see the new length at once and waits, for as long as it takes, for
// running operations and for the pins that reach beyond it. After an error the
// file, its length and its mapping are as they were. Files that are not
// [ReadWrite], and frozen ones, return [ErrReadOnly].
//
// Memory without a file that outgrows its room has to be moved, and that waits
// until no operation and no pin uses it. Called from a callback of View,
// Update or [Pin.Do], which may be the use in the way, growing memory never
// waits: it returns [ErrInUse] where it would have to.
func (f *File) Truncate(size int64) error {
	return f.TruncateContext(context.Background(), size)
}

// TruncateContext is [File.Truncate] that stops waiting for pins when ctx is
// done; then nothing has changed and the error wraps [context.Cause].
func (f *File) TruncateContext(ctx context.Context, size int64) error {
	grows := size > f.Len()
	c, err := f.StartTruncate(size, nil)
	if err != nil {
		return err
	}
	if f.file == nil && grows && guarded() && c.cancelWaiting(ErrInUse) {
		return c.err
	}
	return c.await(ctx)
}

// StartTruncate begins a Truncate and waits for nothing. When Finish will not
// have to wait, it calls ready, which may be nil: once, unless the change is
// canceled before, and perhaps before StartTruncate returns. It calls ready in
// the goroutine that releases the last pin, so ready must not block.
func (f *File) StartTruncate(size int64, ready func(*Change)) (*Change, error) {
	switch {
	case f.access != ReadWrite:
		return nil, f.fail("truncate", ErrReadOnly)
	case f.device:
		return nil, f.fail("truncate", errDevice)
	case size < 0, f.opts.window(size) > math.MaxInt:
		return nil, f.fail("truncate", ErrRange)
	}
	return f.submit("truncate", &resizeStep{size: size}, ready)
}

// Refresh takes up the length that another process has given the file, in both
// directions, and returns the new length of the window. New bytes have blocks
// then, as after opening. It does not wait for pins: those that reach beyond a
// new end fault there, except within its last page, which reads as zeros. A
// copy-on-write file cannot follow past its reservation:
// [errors.ErrUnsupported].
func (f *File) Refresh() (int64, error) {
	c, err := f.submit("refresh", refreshStep{}, nil)
	if err != nil {
		return 0, err
	}
	if err := c.Finish(); err != nil {
		return 0, err
	}
	return f.Len(), nil
}

// resizeStep is a Truncate. Its methods are in the order of their calls (see
// step): start; then apply, or move or remap, which need a moment without any
// use; after an error undo.
type resizeStep struct {
	plainStep
	size    int64 // wanted, of the file
	oldSize int64 // of the file when the change began
	oldLen  int64 // of the window when the change began
}

func (s *resizeStep) start(f *File) (*wait, error) {
	if f.readOnly {
		return nil, ErrReadOnly
	}
	size, err := f.fileSize()
	if err != nil {
		return nil, err
	}
	s.oldSize, s.oldLen = size, f.length
	n := f.opts.window(s.size)
	r := f.gen.Load().region
	switch {
	case f.file == nil && n > r.room:
		return untilExclusive(s.move), nil
	case f.file != nil && s.size < size && sys.ShrinkNeedsUnmap:
		f.setWindow(min(n, s.oldLen))
		return untilExclusive(s.remap), nil
	case n < s.oldLen:
		f.setWindow(n)
		return &wait{beyond: n}, nil
	}
	return nil, nil
}

func (s *resizeStep) apply(ctx context.Context, f *File) error {
	n := f.opts.window(s.size)
	r := f.gen.Load().region
	if f.file == nil {
		return s.applyMemory(f, r, n)
	}
	if _, err := f.fillHoles(s.oldLen, min(n, f.opts.window(s.oldSize)), s.oldSize); err != nil { // made by others
		return err
	}
	var to *region
	var err error
	if s.size > s.oldSize {
		if err := f.extendFile(s.oldSize, s.size); err != nil {
			return err
		}
		if to, err = f.roomFor(r, n); err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			if to != nil {
				_ = to.unmap()
			}
			_ = sys.Truncate(f.file, s.oldSize)
			return err
		}
	} else {
		// The window may grow even so, if another process has made the file longer.
		if to, err = f.roomFor(r, n); err != nil {
			return err
		}
		if s.size < s.oldSize {
			err = sys.Truncate(f.file, s.size)
		}
		if err != nil {
			if to != nil {
				_ = to.unmap()
			}
			return err
		}
	}
	f.install(to, n)
	return nil
}

// applyMemory resizes within the room that there is; past it, move does.
func (s *resizeStep) applyMemory(f *File, r *region, n int64) error {
	switch {
	case n > s.oldLen && r.m == nil:
		clear(r.heap[s.oldLen:n]) // what lies behind a slice's length may hold anything
	case n > s.oldLen:
		if err := r.extend(n); err != nil {
			return err
		}
	case n < s.oldLen && r.m != nil:
		if err := r.m.Discard(n, s.oldLen-n); err != nil {
			return err
		}
	}
	f.install(nil, n)
	return nil
}

// move moves memory without a file into a larger region. Nothing uses the
// window meanwhile.
func (s *resizeStep) move(f *File) error {
	n := f.opts.window(s.size)
	r := f.gen.Load().region
	to, err := memoryRegion(r.m != nil, n, max(n, 2*r.room), f.opts)
	if err != nil { // without room to grow, then
		to, err = memoryRegion(r.m != nil, n, n, f.opts)
	}
	if err != nil {
		return err
	}
	copy(to.window(n), r.window(s.oldLen)) // neither is frozen: a frozen file is not resized
	f.switchRegion(to, n)
	_ = r.unmap() // as in reap
	return nil
}

// remap shortens a file where the system refuses that while it is mapped.
// Nothing uses the window meanwhile.
func (s *resizeStep) remap(f *File) error {
	r := f.gen.Load().region
	if err := r.unmap(); err != nil {
		return err
	}
	size := s.size
	cut := sys.Truncate(f.file, size)
	if cut != nil {
		size = s.oldSize
	}
	n := f.opts.window(size)
	to, err := f.mapRegion(n, f.room(n))
	if err != nil { // the bytes are safe in the file, but not mapped any more
		to, n = newRegion(), 0
	}
	f.switchRegion(to, n)
	return errors.Join(cut, err)
}

func (s *resizeStep) undo(f *File) { f.setWindow(s.oldLen) }

// refreshStep follows a length that the file already has.
type refreshStep struct{ plainStep }

func (refreshStep) start(*File) (*wait, error) { return nil, nil }
func (refreshStep) undo(*File)                 {}

func (refreshStep) apply(_ context.Context, f *File) error {
	if f.file == nil {
		return nil
	}
	size, err := f.fileSize()
	if err != nil {
		return err
	}
	n := f.opts.window(size)
	if n > math.MaxInt {
		return ErrRange
	}
	r := f.gen.Load().region
	if n > r.room && f.access == CopyOnWrite && r.m != nil {
		return errPastRoom
	}
	if _, err := f.fillHoles(f.length, n, size); err != nil {
		return err
	}
	to, err := f.roomFor(r, n)
	if err != nil {
		return err
	}
	f.install(to, n)
	return nil
}

// roomFor returns a new region if a window of n bytes does not fit into r. If it
// does, roomFor returns nil and the bytes are accessible in r.
func (f *File) roomFor(r *region, n int64) (*region, error) {
	if n <= r.room {
		return nil, r.extend(n)
	}
	return f.mapRegion(n, max(f.room(n), 2*min(r.room, math.MaxInt64/2)))
}

// install publishes a window of n bytes: in the current region, if to is nil,
// or in the region to, and then retires the current one.
func (f *File) install(to *region, n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.gen.Load()
	if to != nil {
		f.switchRegion(to, n)
		f.retire(before.region)
		return
	}
	f.length = n
	if int64(len(before.data)) != n {
		f.publishSameEpoch(before.region.window(n))
	}
}

// setWindow publishes a window of n bytes in the current region. The caller
// holds mu.
func (f *File) setWindow(n int64) {
	if f.length == n {
		return
	}
	f.length = n
	f.publish(f.gen.Load().region.window(n))
}

// fileSize returns the length that the file has now, even if another process
// has set it.
func (f *File) fileSize() (int64, error) {
	if f.file == nil {
		return f.length, nil
	}
	if f.device {
		return f.deviceSize, nil
	}
	fi, err := f.file.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}
