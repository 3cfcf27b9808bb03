package core

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/fmmap-go/fmmap/internal/bounds"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// chunk is how much a cursor hands to a stream at a time: enough to make a
// system call worth it, and not so much that a change of the file waits long.
const chunk = 1 << 20

var (
	errBeforeStart = fmt.Errorf("position before the start: %w", ErrRange)
	errWhence      = fmt.Errorf("unknown whence: %w", fs.ErrInvalid)
	errNoByte      = fmt.Errorf("no byte to unread: %w", ErrRange)
	errCount       = errors.New("a stream claims to have taken more bytes than it was given")
)

// cursor is what Reader and Writer have in common: a range of a window and a
// position in it.
type cursor struct {
	file *File
	off  int64 // of the range in the window
	n    int64 // bytes in the range
	pos  int64 // in the range; may lie behind its end
}

// left returns the number of bytes from the position to the end.
func (c *cursor) left() int64 { return max(c.n-c.pos, 0) }

// Seek sets the position for what comes next, as [io.Seeker] demands. A
// position behind the end is allowed; nothing can be read or written there. One
// before the start is [ErrRange].
func (c *cursor) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += c.pos
	case io.SeekEnd:
		offset += c.n
	default:
		return 0, c.file.fail("seek", errWhence)
	}
	if offset < 0 {
		return 0, c.file.fail("seek", errBeforeStart)
	}
	c.pos = offset
	return offset, nil
}

// Size returns the number of bytes in the range, read or not.
func (c *cursor) Size() int64 { return c.n }

// Len returns the number of bytes from the position to the end of the range.
func (c *cursor) Len() int64 { return c.left() }

func (f *File) cursor(op string, off, n int64) (cursor, error) {
	g, err := f.current()
	if err != nil {
		return cursor{}, f.fail(op, err)
	}
	if !bounds.Within(off, n, int64(len(g.data))) {
		return cursor{}, f.fail(op, ErrRange)
	}
	return cursor{file: f, off: off, n: n}, nil
}

// stream passes the bytes from the position to fn, pinned and guarded, a chunk
// at a time, until the end of the range or of the window, or an error. fn
// returns how many bytes it has used; store is set if it stores into them.
func (c *cursor) stream(op string, store bool, fn func(b []byte) (int, error)) (total int64, err error) {
	for more := true; more && err == nil; {
		var n int
		n, more, err = c.streamChunk(op, store, fn)
		total += int64(n)
	}
	return total, err
}

// streamChunk is one chunk of stream; more is false when there was none left.
func (c *cursor) streamChunk(op string, store bool, fn func(b []byte) (int, error)) (n int, more bool, err error) {
	p, err := c.pinChunk(op, store, chunk)
	if p == nil {
		return 0, false, err
	}
	defer p.Release() // also when fn panics
	if !store {
		p.bringIn()
	}
	n, err = p.passBytes(op, store, 0, p.Len(), fn)
	c.pos += int64(n)
	return n, true, err
}

// pinChunk pins what follows the position, at most so many bytes, as far as the
// window still has it. At the end it returns nil.
func (c *cursor) pinChunk(op string, store bool, most int64) (*Pin, error) {
	for {
		g, err := c.file.current()
		if err != nil {
			return nil, c.file.fail(op, err)
		}
		n := min(c.left(), most, int64(len(g.data))-c.off-c.pos)
		if n <= 0 {
			return nil, nil
		}
		p, err := c.file.pin(op, c.off+c.pos, n, store)
		if !errors.Is(err, ErrRange) { // otherwise the window has just become shorter
			return p, err
		}
	}
}

// passBytes calls fn with the bytes [from, to) of the pin under the guard. A
// fault that a system call met, and returned as an errno, becomes the same
// error as one that an access met.
func (p *Pin) passBytes(op string, store bool, from, to int64, fn func(b []byte) (int, error)) (n int, err error) {
	err = p.withGuard(op, func(b []byte) (err error) {
		n, err = fn(b[from:to:to])
		if n < 0 || int64(n) > to-from {
			n, err = 0, p.file.fail(op, errCount)
		}
		return err
	})
	if err == nil || !sys.IsFault(err) || errors.Is(err, ErrFault) || p.file.file == nil || int64(n) == to-from {
		return n, err // memory without a file always has its pages
	}
	at := p.off + from + int64(n)
	if off, missing := p.gen.region.missingByte(at, p.off+to, store); missing {
		at = off
	}
	// If no byte is missing, the file has become longer since the system call:
	// then the call met the fault at the first byte that it did not transfer.
	return n, p.file.fail(op, &FaultError{Offset: p.gen.region.offset + p.gen.region.delta + at, Err: err})
}

// Reader reads a range of a window from front to back. It is an [io.Reader],
// [io.Seeker], [io.ReaderAt], [io.ByteScanner] and [io.WriterTo], and behaves
// like a [bytes.Reader] of the range.
//
// It holds no pin between calls, so nothing waits for it: a window that has
// become too short ends it with [io.EOF], a closed file with [fs.ErrClosed].
// Only one goroutine may use it at a time, except for ReadAt.
type Reader struct{ cursor }

// NewReader returns a Reader of the n bytes of the window that start at off, or
// [ErrRange].
func (f *File) NewReader(off, n int64) (*Reader, error) {
	c, err := f.cursor("read", off, n)
	if err != nil {
		return nil, err
	}
	return &Reader{c}, nil
}

// Read copies the next bytes into p.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.ReadAt(p, r.pos)
	r.pos += int64(n)
	if n > 0 && err == io.EOF {
		err = nil // the next call returns it
	}
	return n, err
}

// ReadAt copies bytes of the range, starting at off, wherever the position is.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case off < 0:
		return 0, r.file.fail("read", ErrRange)
	case off >= r.n:
		return 0, io.EOF
	}
	short := int64(len(p)) > r.n-off
	if short {
		p = p[:r.n-off]
	}
	n, err := r.file.ReadAt(p, r.off+off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// ReadByte returns the next byte.
func (r *Reader) ReadByte() (byte, error) {
	v, err := Next[uint8](r, binary.LittleEndian)
	return v, err
}

// UnreadByte goes back by one byte.
func (r *Reader) UnreadByte() error {
	if r.pos <= 0 {
		return r.file.fail("unread", errNoByte)
	}
	r.pos--
	return nil
}

// Peek pins the next n bytes, without copying them and without moving the
// position. The pin has fewer only where the range or the window ends before; at
// the end Peek returns [io.EOF] and no pin. The caller releases the pin, before
// or after [Reader.Discard].
func (r *Reader) Peek(n int64) (*Pin, error) {
	const op = "peek"
	if n < 0 {
		return nil, r.file.fail(op, ErrRange)
	}
	if n == 0 {
		return r.file.pin(op, min(r.off+r.pos, r.file.Len()), 0, false)
	}
	p, err := r.pinChunk(op, false, n)
	if p == nil && err == nil {
		err = io.EOF
	}
	return p, err
}

// Discard moves the position n bytes ahead, and returns how many it has skipped:
// fewer, with [io.EOF], where the range ends before.
func (r *Reader) Discard(n int64) (int64, error) {
	if n < 0 {
		return 0, r.file.fail("discard", ErrRange)
	}
	skipped := min(n, r.left())
	r.pos += skipped
	if skipped < n {
		return skipped, io.EOF
	}
	return skipped, nil
}

// WriteTo passes the rest of the range to w without copying it to the heap: w
// gets slices of the map of at most 1 MiB, each pinned until its Write returns,
// and must neither change nor keep them. A fault that w meets is a
// [*FaultError], in a system call as well.
//
// The guard belongs to this goroutine. A w whose bytes are read by another
// goroutine, as the response writer of HTTP/2 may do, should be given copies:
// io.Copy(w, struct{ io.Reader }{r}). For an [io.PipeWriter] WriteTo does that
// itself.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	if _, ok := w.(*io.PipeWriter); ok {
		return io.Copy(w, struct{ io.Reader }{r})
	}
	return r.stream("read", false, func(b []byte) (int, error) {
		n, err := w.Write(b)
		if n < len(b) && err == nil {
			err = io.ErrShortWrite
		}
		return n, err
	})
}

// Next reads the value at the position and moves behind it. At the end of the
// range the error is [io.EOF], and [io.ErrUnexpectedEOF] where the range ends
// within the value; then the position stays.
func Next[T Fixed](r *Reader, order binary.ByteOrder) (T, error) {
	n := width[T]()
	switch left := r.left(); {
	case left == 0:
		return *new(T), io.EOF
	case left < n:
		return *new(T), io.ErrUnexpectedEOF
	}
	v, err := Get[T](r.file, r.off+r.pos, order)
	if err == nil {
		r.pos += n
		return v, nil
	}
	if errors.Is(err, ErrRange) { // the window is shorter than it was
		err = io.EOF
		if r.off+r.pos < r.file.Len() {
			err = io.ErrUnexpectedEOF
		}
	}
	return v, err
}
