package core

import (
	"encoding/binary"
	"fmt"
	"io"
	"unsafe"
)

// errFull is the error of writing past the end of a range.
var errFull = fmt.Errorf("%w: %w", ErrRange, io.ErrShortWrite)

// Writer writes a range of a window from front to back. It is an [io.Writer],
// [io.Seeker], [io.WriterAt], [io.ByteWriter], [io.StringWriter] and
// [io.ReaderFrom].
//
// It never extends the file: what does not fit is [ErrRange], which is also an
// [io.ErrShortWrite]. Like a [Reader] it holds no pin between calls, and only
// one goroutine may use it at a time, except for WriteAt.
type Writer struct{ cursor }

// NewWriter returns a Writer of the n bytes of the window that start at off, or
// [ErrRange]; [ErrReadOnly] where nothing can be stored.
func (f *File) NewWriter(off, n int64) (*Writer, error) {
	c, err := f.cursor("write", off, n)
	if err != nil {
		return nil, err
	}
	if f.gen.Load().readOnly {
		return nil, f.fail("write", ErrReadOnly)
	}
	return &Writer{c}, nil
}

// Write stores as much of p as fits at the position.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.WriteAt(p, w.pos)
	w.pos += int64(n)
	return n, err
}

// WriteAt stores as much of p as fits at off of the range, wherever the position is.
func (w *Writer) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, w.file.fail("write", ErrRange)
	}
	fits := min(int64(len(p)), max(w.n-off, 0))
	n, err := w.file.WriteAt(p[:fits], w.off+min(off, w.n))
	if err == nil && n < len(p) {
		err = w.file.fail("write", errFull)
	}
	return n, err
}

// WriteString is Write of the bytes of s.
func (w *Writer) WriteString(s string) (int, error) {
	// In bounds: the string's own bytes. Alive: as long as s, and Write neither
	// changes nor keeps them.
	return w.Write(unsafe.Slice(unsafe.StringData(s), len(s)))
}

// WriteByte stores one byte.
func (w *Writer) WriteByte(c byte) error {
	return PutNext(w, binary.LittleEndian, c)
}

// ReadFrom reads r into the range until r ends. When the range is full and r has
// more, one byte of that is lost and the error is [ErrRange].
//
// At most 1 MiB is pinned while r.Read runs, so a shrink or a closing may have
// to wait for a slow r. Where stores are not system calls ([Options].Stores), r
// reads straight into the map, and as [io.Reader] allows, may use bytes beyond
// those it returns as scratch space: what lies behind the position is then lost.
func (w *Writer) ReadFrom(r io.Reader) (int64, error) {
	read := limitEmptyReads(r)
	fill := read
	if w.file.storesByCall() {
		fill = w.storing(read)
	}
	n, err := w.stream("write", true, fill)
	if err == nil { // full: look whether that was all
		var more [1]byte
		for m := 0; err == nil; m, err = read(more[:]) {
			if m > 0 {
				return n, w.file.fail("write", errFull)
			}
		}
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// storing is read into a buffer, and from there by a system call to the pinned
// bytes b at the position.
func (w *Writer) storing(read func(b []byte) (int, error)) func(b []byte) (int, error) {
	buf := make([]byte, min(w.left(), readFromBuffer))
	return func(b []byte) (int, error) {
		n, err := read(buf[:min(len(b), len(buf))])
		if n < 0 || n > min(len(b), len(buf)) {
			return -1, err // which stream reports
		}
		stored, serr := w.file.storeByCall(buf[:n], w.off+w.pos)
		if serr != nil {
			return stored, w.file.fail("write", serr)
		}
		copy(b[stored:n], buf[stored:n])
		return n, err
	}
}

// readFromBuffer is how much ReadFrom reads before it stores.
const readFromBuffer = 64 << 10

// maxEmptyReads is how many reads in a row may return nothing.
const maxEmptyReads = 100

// limitEmptyReads is r.Read that returns [io.ErrNoProgress] after too many reads
// that returned nothing.
func limitEmptyReads(r io.Reader) func(b []byte) (int, error) {
	empty := 0
	return func(b []byte) (int, error) {
		n, err := r.Read(b)
		if empty++; n > 0 {
			empty = 0
		}
		if err == nil && empty > maxEmptyReads {
			err = io.ErrNoProgress
		}
		return n, err
	}
}

// PutNext stores a value at the position and moves behind it. When it does not
// fit, nothing is stored and the error is [ErrRange].
func PutNext[T Fixed](w *Writer, order binary.ByteOrder, v T) error {
	n := width[T]()
	if w.left() < n {
		return w.file.fail("write", errFull)
	}
	if err := Put(w.file, w.off+w.pos, order, v); err != nil {
		return err
	}
	w.pos += n
	return nil
}
