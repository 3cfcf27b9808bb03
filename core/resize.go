package core

import (
	"context"
	"errors"
	"math"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// Truncate sets the length of the file to size bytes. A window that reaches to
// the end of the file follows; one of a fixed length is clipped, and comes back when the file grows again.
//
// Growing waits for nobody and moves no pinned bytes. New bytes are zero and have
// blocks, unless the file was opened Sparse. Shrinking makes new operations see the new length at once and waits,
// for as long as it takes, for running operations and for the pins that reach beyond it.
// On an error file, length and mapping are as they were. Files that are not
// [ReadWrite], and frozen ones, answer [ErrReadOnly].
func (f *File) Truncate(size int64) error {
	return f.TruncateContext(context.Background(), size)
}

// TruncateContext is [File.Truncate] that stops waiting for pins when ctx is done;
// then nothing has changed and the error wraps [context.Cause].
func (f *File) TruncateContext(ctx context.Context, size int64) error {
	c, err := f.StartTruncate(size, nil)
	if err != nil {
		return err
	}
	return c.await(ctx)
}

// StartTruncate begins a Truncate and waits for nothing: ready, which may be nil, is called
// exactly once, when Finish will not have to wait, perhaps before StartTruncate returns. It
// runs in whichever goroutine released the last pin and must not block.
func (f *File) StartTruncate(size int64, ready func(*Change)) (*Change, error) {
	switch {
	case f.access != ReadWrite:
		return nil, f.fail("truncate", ErrReadOnly)
	case size < 0, f.opts.window(size) > math.MaxInt:
		return nil, f.fail("truncate", ErrRange)
	}
	return f.submit("truncate", &resizeStep{size: size}, ready)
}

// Refresh takes up the length that another process has given the file, in both directions, and returns
// the new length of the window. New bytes have blocks then, as after opening. It does not wait for pins: those
// that reach beyond a new end fault there. A copy-on-write file cannot follow past its reservation: [errors.ErrUnsupported].
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

// resizeStep is a Truncate.
type resizeStep struct {
	size int64 // wanted, of the file
	from int64 // of the file when the change began
	had  int64 // window when it began
}

func (s *resizeStep) start(f *File) (*wait, error) {
	if f.readOnly {
		return nil, ErrReadOnly
	}
	from, err := f.fileSize()
	if err != nil {
		return nil, err
	}
	s.from, s.had = from, f.length
	n := f.opts.window(s.size)
	r := f.gen.Load().region
	switch {
	case f.file == nil && n > r.room:
		return &wait{blocks: everyPin, sealed: s.move}, nil
	case f.file != nil && s.size < from && sys.ShrinkNeedsUnmap:
		f.setWindow(min(n, s.had))
		return &wait{blocks: everyPin, sealed: s.remap}, nil
	case n < s.had:
		f.setWindow(n)
		return &wait{blocks: func(p *Pin) bool { return p.off+p.Len() > n }}, nil
	}
	return nil, nil
}

func (s *resizeStep) undo(f *File) { f.setWindow(s.had) }

func (s *resizeStep) apply(f *File) error {
	n := f.opts.window(s.size)
	r := f.gen.Load().region
	if f.file == nil {
		return s.applyMemory(f, r, n)
	}
	if err := f.fillHoles(s.had, min(n, f.opts.window(s.from)), s.from); err != nil { // that somebody else made
		return err
	}
	var fresh *region
	var err error
	if s.size > s.from {
		if err := extend(f.file, s.from, s.size, f.opts.Sparse); err != nil {
			return err
		}
		if fresh, err = f.roomFor(r, n); err != nil {
			_ = sys.Truncate(f.file, s.from)
			return err
		}
	} else {
		// The window may grow even so, when somebody else had made the file longer.
		if fresh, err = f.roomFor(r, n); err != nil {
			return err
		}
		if s.size < s.from {
			err = sys.Truncate(f.file, s.size)
		}
		if err != nil {
			if fresh != nil {
				_ = fresh.unmap()
			}
			return err
		}
	}
	f.install(fresh, n)
	return nil
}

// applyMemory resizes within the room there is; past it, move does.
func (s *resizeStep) applyMemory(f *File, r *region, n int64) error {
	switch {
	case n > s.had && r.m == nil:
		clear(r.heap[s.had:n]) // what lies behind a slice's length may hold anything
	case n < s.had && r.m != nil:
		if err := r.m.Discard(n, s.had-n); err != nil {
			return err
		}
	}
	f.install(nil, n)
	return nil
}

// move puts memory that is not a file's into a larger region. Nobody uses the window.
func (s *resizeStep) move(f *File) error {
	n := f.opts.window(s.size)
	r := f.gen.Load().region
	fresh, err := memoryRegion(r.m != nil, n, max(n, 2*r.room), f.opts)
	if err != nil { // without room to grow, then
		fresh, err = memoryRegion(r.m != nil, n, n, f.opts)
	}
	if err != nil {
		return err
	}
	copy(fresh.window(n), r.window(s.had)) // neither is frozen: a frozen file is not resized
	f.length = n
	f.takeUp(fresh, n)
	_ = r.unmap() // as in reap
	return nil
}

// remap shortens a file where the system refuses that while it is mapped. Nobody uses the window.
func (s *resizeStep) remap(f *File) error {
	r := f.gen.Load().region
	if err := r.unmap(); err != nil {
		return err
	}
	size := s.size
	cut := sys.Truncate(f.file, size)
	if cut != nil {
		size = s.from
	}
	n := f.opts.window(size)
	fresh, err := f.mapRegion(n, f.opts.room(n))
	if err != nil { // the bytes are safe in the file, but not mapped any more
		fresh, n = newRegion(), 0
	}
	f.length = n
	f.takeUp(fresh, n)
	return errors.Join(cut, err)
}

// refreshStep follows a length that the file already has.
type refreshStep struct{}

func (refreshStep) start(*File) (*wait, error) { return nil, nil }
func (refreshStep) undo(*File)                 {}

func (refreshStep) apply(f *File) error {
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
	if err := f.fillHoles(f.length, n, size); err != nil {
		return err
	}
	fresh, err := f.roomFor(r, n)
	if err != nil {
		return err
	}
	f.install(fresh, n)
	return nil
}

// roomFor returns a new region when a window of n bytes does not fit into r, else nil.
func (f *File) roomFor(r *region, n int64) (*region, error) {
	if n <= r.room {
		return nil, nil
	}
	return f.mapRegion(n, max(f.opts.room(n), 2*min(r.room, math.MaxInt64/2)))
}

// install publishes a window of n bytes, in the region there is or in a fresh one, and lets go of the old.
func (f *File) install(fresh *region, n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.gen.Load()
	f.length = n
	if fresh == nil {
		if int64(len(before.data)) != n {
			f.extend(before.region.window(n))
		}
		return
	}
	f.takeUp(fresh, n)
	before.region.watched.Store(true)
	f.old = append(f.old, before.region)
	f.reap()
}

// takeUp publishes a window of n bytes in a region that follows another. Callers hold mu.
func (f *File) takeUp(fresh *region, n int64) {
	f.adviseAll(fresh)
	f.supersede(f.next(fresh, fresh.window(n)))
}

// setWindow publishes a window of n bytes in the region there is. Callers hold mu.
func (f *File) setWindow(n int64) {
	if f.length == n {
		return
	}
	f.length = n
	f.publish(f.gen.Load().region.window(n))
}

// fileSize is the length of the file now, whoever has set it.
func (f *File) fileSize() (int64, error) {
	if f.file == nil {
		return f.length, nil
	}
	fi, err := f.file.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}
