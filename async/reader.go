package async

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"reflect"
	"unsafe"

	"github.com/fmmap-go/fmmap/core"
)

const (
	readerChunk = 256 << 10 // bytes that a Reader loads and pins together
	readerAhead = 4         // how many chunks it loads ahead
)

var (
	errWhence      = fmt.Errorf("unknown whence: %w", fs.ErrInvalid)
	errBeforeStart = fmt.Errorf("position before the start: %w", core.ErrRange)
	errNegative    = fmt.Errorf("negative count: %w", core.ErrRange)
)

// A Reader reads a range of a file from front to back, and brings in ahead what
// comes next: its methods wait for the pager, never in a page fault, so that no
// processor is held while a disk is slow. It is an [io.Reader], [io.Seeker],
// [io.ByteReader], [io.WriterTo] and [io.Closer]; [Next] reads typed values.
//
// A Reader holds pins on the bytes around its position, which keep a Close of
// the file and a Truncate that cuts them off waiting: close it when done. It is
// for one goroutine at a time.
type Reader struct {
	file   *File
	parent context.Context
	off, n int64 // the range
	pos    int64 // in the range; may lie behind its end

	pins   []*core.Pin // loaded, side by side, the first one holds pos
	peeked *core.Pin   // of the last Peek
	ahead  stream      // what is loading behind the last of pins
	cancel func()      // ends ahead; nil when there is none
	closed bool
}

// NewReader returns a reader of the bytes [off, off+n) of the window. ctx ends
// its reads: they fail with its cause then.
func (f *File) NewReader(ctx context.Context, off, n int64) (*Reader, error) {
	if err := f.checkRange("read", off, n); err != nil {
		return nil, err
	}
	return &Reader{file: f, parent: ctx, off: off, n: n}, nil
}

// Size returns the number of bytes in the range, read or not.
func (r *Reader) Size() int64 { return r.n }

// Len returns the number of bytes from the position to the end of the range.
func (r *Reader) Len() int64 { return max(r.n-r.pos, 0) }

// Close releases the pins of the reader. Reading afterwards fails with
// [fs.ErrClosed], and so does a second Close.
func (r *Reader) Close() error {
	if r.closed {
		return r.file.pathError("read", fs.ErrClosed)
	}
	r.closed = true
	r.reset()
	return nil
}

// reset releases all pins and cancels what is loading.
func (r *Reader) reset() {
	r.unpeek()
	for _, p := range r.pins {
		p.Release()
	}
	r.pins = nil
	if r.cancel != nil {
		r.cancel()
		r.ahead.discardAll()
		r.cancel = nil
	}
}

// unpeek ends the validity of what Peek has returned.
func (r *Reader) unpeek() {
	if r.peeked != nil {
		r.peeked.Release()
		r.peeked = nil
	}
}

// need makes the n bytes at the position resident and pinned, and releases what
// lies before it. It returns [io.EOF] if the range has none of them, and
// [io.ErrUnexpectedEOF] if it has some.
func (r *Reader) need(n int64) error {
	if r.closed {
		return r.file.pathError("read", fs.ErrClosed)
	}
	r.unpeek()
	switch left := r.Len(); {
	case n == 0:
		return nil
	case left == 0:
		return io.EOF
	case left < n:
		return io.ErrUnexpectedEOF
	}
	for len(r.pins) > 0 && r.end(0) <= r.pos {
		r.pins[0].Release()
		r.pins = r.pins[1:]
	}
	for len(r.pins) == 0 || r.end(len(r.pins)-1) < r.pos+n {
		if r.cancel == nil {
			r.start()
		}
		err := context.Cause(r.parent)
		if err == nil && !r.ahead.request() {
			// Another process has cut the file, so that the range ends earlier.
			err = r.file.pathError("read", core.ErrRange)
		}
		var pin *core.Pin
		if err == nil {
			pin, err = r.ahead.take()
		}
		if err != nil {
			r.reset() // the next read begins anew
			return err
		}
		r.pins = append(r.pins, pin)
	}
	return nil
}

// start begins to load at the position.
func (r *Reader) start() {
	ctx, cancel := context.WithCancel(r.parent)
	r.cancel = cancel
	r.ahead = stream{file: r.file, ctx: ctx, next: r.off + r.pos, end: r.off + r.n, chunk: readerChunk, ahead: readerAhead}
}

// end returns where the i-th pin ends, in the range.
func (r *Reader) end(i int) int64 { return r.pins[i].Offset() + r.pins[i].Len() - r.off }

// Read implements [io.Reader]. A fault is a [*core.FaultError].
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.need(1); err != nil {
		return 0, err
	}
	n := 0
	err := r.pins[0].Do(func(b []byte) error {
		n = copy(p, b[r.pos-(r.end(0)-int64(len(b))):])
		return nil
	})
	if err != nil {
		return 0, err
	}
	r.pos += int64(n)
	return n, nil
}

// ReadByte implements [io.ByteReader].
func (r *Reader) ReadByte() (byte, error) {
	var b [1]byte
	_, err := r.Read(b[:])
	return b[0], err
}

// Peek returns the next n bytes in place, without moving the position. They are
// resident, and valid until the next call of a method of the reader. If the
// range has fewer, Peek returns those with [io.EOF]. A negative n is
// [core.ErrRange].
func (r *Reader) Peek(n int) ([]byte, error) {
	if n < 0 {
		return nil, r.file.pathError("read", errNegative)
	}
	size, eof := int64(n), error(nil)
	if left := r.Len(); size > left {
		size, eof = left, io.EOF
	}
	if err := r.need(size); err != nil {
		return nil, err
	}
	pin, err := r.file.core.Pin(r.off+min(r.pos, r.n), size)
	if err != nil {
		return nil, err
	}
	r.peeked = pin
	return pin.Bytes(), eof
}

// Discard skips the next n bytes, or with [io.EOF] as many as there are, and
// returns how many. Nothing that is skipped over is brought in on purpose. A
// negative n is [core.ErrRange].
func (r *Reader) Discard(n int) (discarded int, err error) {
	switch {
	case r.closed:
		return 0, r.file.pathError("read", fs.ErrClosed)
	case n < 0:
		return 0, r.file.pathError("read", errNegative)
	}
	if left := r.Len(); int64(n) > left {
		n, err = int(left), io.EOF
	}
	r.move(r.pos + int64(n))
	return n, err
}

// Seek implements [io.Seeker]. A position behind the end is allowed; nothing can
// be read there. One before the start is [core.ErrRange].
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch {
	case r.closed:
		return 0, r.file.pathError("seek", fs.ErrClosed)
	case whence == io.SeekStart:
	case whence == io.SeekCurrent:
		offset += r.pos
	case whence == io.SeekEnd:
		offset += r.n
	default:
		return 0, r.file.pathError("seek", errWhence)
	}
	if offset < 0 {
		return 0, r.file.pathError("seek", errBeforeStart)
	}
	r.move(offset)
	return offset, nil
}

// move sets the position. What is pinned or loading stays of use if it lies a
// little ahead.
func (r *Reader) move(pos int64) {
	r.unpeek()
	near := len(r.pins) > 0 && pos >= r.pos && pos <= r.end(len(r.pins)-1)
	if !near && pos != r.pos {
		r.reset()
	}
	r.pos = pos
}

// WriteTo implements [io.WriterTo]: it passes the bytes to w in place.
func (r *Reader) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if err := r.need(1); err == io.EOF {
			return total, nil
		} else if err != nil {
			return total, err
		}
		n := 0
		err := r.pins[0].Do(func(b []byte) (err error) {
			b = b[r.pos-(r.end(0)-int64(len(b))):]
			n, err = w.Write(b)
			if n < len(b) && err == nil {
				err = io.ErrShortWrite
			}
			return err
		})
		r.pos += int64(n)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

// Next reads the value at the reader's position, as [core.Next] does, and moves
// past it. A range that ends within the value is [io.ErrUnexpectedEOF], and one
// that ends before it [io.EOF].
func Next[T core.Fixed](r *Reader, order binary.ByteOrder) (v T, err error) {
	width := int64(unsafe.Sizeof(v))
	switch reflect.TypeFor[T]().Kind() {
	case reflect.Int, reflect.Uint, reflect.Uintptr:
		width = 8 // as they are stored
	}
	if err := r.need(width); err != nil {
		return v, err
	}
	if v, err = core.Get[T](r.file.core, r.off+r.pos, order); err == nil {
		r.pos += width
	}
	return v, err
}
