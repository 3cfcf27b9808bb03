package async

import (
	"context"
	"errors"
	"io/fs"
	"iter"

	"github.com/fmmap-go/fmmap/core"
)

// Stream returns an iterator over the bytes [off, off+n) of the window in order,
// in pins of chunk bytes; the last one has what is left. While the loop body
// works on one chunk the next ahead chunks are loading, so that it finds them in
// memory. At most 1+ahead chunks are pinned, however long the range is.
//
// A pin is valid until the loop body ends: Stream then releases it, if the body
// has not. Breaking out of the loop cancels what is loading and leaves nothing
// pinned. An error, including ctx's cause, comes with a nil pin and ends the
// stream. A chunk of less than one byte, or a negative ahead, is
// [fs.ErrInvalid].
func (f *File) Stream(ctx context.Context, off, n, chunk int64, ahead int) iter.Seq2[*core.Pin, error] {
	return func(yield func(*core.Pin, error) bool) {
		if chunk <= 0 || ahead < 0 {
			yield(nil, f.pathError("stream", fs.ErrInvalid))
			return
		}
		if err := f.checkRange("stream", off, n); err != nil {
			yield(nil, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		s := stream{file: f, ctx: ctx, next: off, end: off + n, chunk: chunk, ahead: ahead}
		defer func() {
			cancel()
			s.discardAll()
		}()
		for s.request() {
			pin, err := s.take()
			if err != nil {
				yield(nil, err)
				return
			}
			if !yieldPin(pin, yield) {
				return
			}
		}
	}
}

// A stream is one pass over a Stream, in one goroutine.
type stream struct {
	file      *File
	ctx       context.Context // ends with the pass
	next, end int64           // what has not been requested yet
	chunk     int64
	ahead     int
	loading   []*Future[*core.Pin] // in order; [0] is the chunk to yield next
}

// request starts to load chunks as far as it may look ahead, and reports whether
// there is one to yield.
func (s *stream) request() bool {
	for s.next < s.end && len(s.loading) <= s.ahead {
		n := min(s.chunk, s.end-s.next)
		load := s.file.Load(s.ctx, s.next, n)
		if len(s.loading) > 0 && errors.Is(load.Err(), ErrOverloaded) {
			break // request it again when it is the next
		}
		s.loading = append(s.loading, load)
		s.next += n
	}
	return len(s.loading) > 0
}

// take waits for the next chunk.
func (s *stream) take() (*core.Pin, error) {
	load := s.loading[0]
	pin, err := load.Await(s.ctx)
	if wait := (*AwaitError)(nil); errors.As(err, &wait) {
		return nil, wait.Cause // it stays in loading, to be discarded
	}
	s.loading = s.loading[1:]
	return pin, err
}

// yieldPin calls the loop body with the pin, and releases the pin even if the
// body panics.
func yieldPin(pin *core.Pin, yield func(*core.Pin, error) bool) bool {
	defer pin.Release()
	return yield(pin, nil)
}

// discardAll cancels what is loading, and has the pins that arrive all the same
// released.
func (s *stream) discardAll() {
	for _, load := range s.loading {
		if load.Cancel(nil) {
			continue
		}
		onResolved(load, func() {
			if pin, err, ok := load.TryResult(); ok && err == nil {
				pin.Release()
			}
		})
	}
	s.loading = nil
}
