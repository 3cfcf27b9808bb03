package async

import (
	"context"
	"errors"
	"io/fs"
	"iter"

	"github.com/fmmap-go/fmmap/core"
)

// Stream goes through the bytes [off, off+n) of the window in order, in pins of
// chunk bytes, the last one of what is left. Beside the chunk at hand it keeps
// the next ahead ones loading, so that whoever works on the bytes finds them in
// memory. All of it is bounded by 1+ahead chunks, however long the range is.
//
// A pin is good until the loop body ends: Stream releases it then, if the body
// has not. Breaking out of the loop cancels what is loading and leaves nothing
// pinned. An error, ctx's cause included, comes with a nil pin and ends the
// stream; a chunk of no bytes or less is [fs.ErrInvalid].
func (f *File) Stream(ctx context.Context, off, n, chunk int64, ahead int) iter.Seq2[*core.Pin, error] {
	return func(yield func(*core.Pin, error) bool) {
		if chunk <= 0 || ahead < 0 {
			yield(nil, f.pathError("stream", fs.ErrInvalid))
			return
		}
		if err := f.check("stream", off, n); err != nil {
			yield(nil, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		s := stream{file: f, ctx: ctx, next: off, end: off + n, chunk: chunk, ahead: ahead}
		defer func() {
			cancel()
			s.drop()
		}()
		for s.advance() {
			pin, err := s.head()
			if err != nil {
				yield(nil, err)
				return
			}
			if !s.lend(pin, yield) {
				return
			}
		}
	}
}

// A stream is one pass of Stream, in one goroutine.
type stream struct {
	file      *File
	ctx       context.Context // ends with the pass
	next, end int64           // what has not been asked for yet
	chunk     int64
	ahead     int
	loading   []*Future[*core.Pin] // in order; [0] is the chunk at hand
}

// advance asks for chunks as far as it may look ahead, and reports whether there
// is one at hand.
func (s *stream) advance() bool {
	for s.next < s.end && len(s.loading) <= s.ahead {
		n := min(s.chunk, s.end-s.next)
		load := s.file.Load(s.ctx, s.next, n)
		if len(s.loading) > 0 && errors.Is(load.Err(), ErrOverloaded) {
			break // ask again when it is its turn
		}
		s.loading = append(s.loading, load)
		s.next += n
	}
	return len(s.loading) > 0
}

// head waits for the chunk at hand.
func (s *stream) head() (*core.Pin, error) {
	load := s.loading[0]
	pin, err := load.Await(s.ctx)
	if wait := (*AwaitError)(nil); errors.As(err, &wait) {
		return nil, wait.Cause // it stays in loading, to be dropped
	}
	s.loading = s.loading[1:]
	return pin, err
}

// lend gives the pin to the loop body, which may end with a panic.
func (s *stream) lend(pin *core.Pin, yield func(*core.Pin, error) bool) bool {
	defer pin.Release()
	return yield(pin, nil)
}

// drop gives back what nobody will take, now or when it arrives.
func (s *stream) drop() {
	for _, load := range s.loading {
		c := &callback{w: (*discard)(load)}
		if !load.Cancel(nil) && !load.subscribe(c) {
			c.w.resolved(0)
		}
	}
	s.loading = nil
}

// A discard is a future whose pin nobody will take.
type discard Future[*core.Pin]

func (d *discard) resolved(int) *callback {
	if pin, err, ok := (*Future[*core.Pin])(d).TryResult(); ok && err == nil {
		pin.Release()
	}
	return nil
}
