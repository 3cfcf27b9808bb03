package core

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// chunk is how much a cursor hands to a stream at a time: enough to make a system
// call worth it, and not so much that a change of the file waits long.
const chunk = 1 << 20

var (
	errBeforeStart = errors.New("position before the start")
	errWhence      = errors.New("unknown whence")
	errNoByte      = errors.New("no byte to unread")
)

// cursor is what Reader and Writer have in common: a range of a window and a position in it.
type cursor struct {
	file *File
	off  int64 // of the range in the window
	n    int64 // bytes in the range
	pos  int64 // in the range; may lie behind its end
}

// left is the number of bytes from the position to the end.
func (c *cursor) left() int64 { return max(c.n-c.pos, 0) }

// Seek sets the position for what comes next, as [io.Seeker] has it. A position behind the end is allowed; there is
// nothing there.
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

// Size is the number of bytes in the range, read or not.
func (c *cursor) Size() int64 { return c.n }

// Len is the number of bytes from the position to the end of the range.
func (c *cursor) Len() int64 { return c.left() }

func (f *File) cursor(op string, off, n int64) (cursor, error) {
	g, err := f.load()
	if err != nil {
		return cursor{}, f.fail(op, err)
	}
	if !within(off, n, len(g.data)) {
		return cursor{}, f.fail(op, ErrRange)
	}
	return cursor{file: f, off: off, n: n}, nil
}

// stream hands the bytes from the position on to fn, pinned and guarded, a chunk at a time, until
// the end of the range or an error. fn tells how many it has dealt with.
func (c *cursor) stream(op string, fn func(b []byte) (int, error)) (total int64, err error) {
	for c.left() > 0 {
		p, err := c.file.Pin(c.off+c.pos, min(c.left(), chunk))
		if err != nil {
			return total, err
		}
		n := 0
		err = p.Do(func(b []byte) error {
			var err error
			n, err = fn(b)
			if n < 0 || n > len(b) {
				n, err = 0, errors.New("invalid count from a stream")
			}
			return err
		})
		if sys.IsFault(err) {
			// A system call was refused the bytes. Ask for them ourselves: if that fails it was the file.
			if fault := p.Populate(); fault != nil {
				err = fault
			}
		}
		p.Release()
		c.pos += int64(n)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Reader reads a range of a window from front to back. It is an [io.Reader], [io.Seeker],
// [io.ReaderAt], [io.ByteScanner] and [io.WriterTo], and behaves like a [bytes.Reader] of the range.
//
// It holds no pin between calls, so it keeps nobody from resizing or closing the file: a
// window that has become too short ends it with [io.EOF], a closed file with [io/fs.ErrClosed]. One goroutine uses
// it at a time, but for ReadAt.
type Reader struct{ cursor }

// NewReader returns a Reader of the n bytes of the window from off on, or [ErrRange].
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
		err = nil // the next call says it
	}
	return n, err
}

// ReadAt copies bytes of the range from off on, wherever the position is.
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

// WriteTo hands the rest of the range to w without copying it to the heap: w gets slices of the map,
// pinned until its Write returns. A fault that a system call of w meets is a [*FaultError] as well.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	return r.stream("read", func(b []byte) (int, error) {
		n, err := w.Write(b)
		if n < len(b) && err == nil {
			err = io.ErrShortWrite
		}
		return n, err
	})
}

// Next reads the value at the position and goes on behind it. At the end of the range the error is [io.EOF], and
// [io.ErrUnexpectedEOF] where the range ends within the value; then the position stays.
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
