package core

import (
	"io"

	"github.com/fmmap-go/fmmap/internal/bounds"
)

// View calls fn with the whole window and returns fn's error. The bytes are for
// reading, and only until fn returns; they stay mapped that long, so Close
// and a Truncate that shortens the file wait for fn. A fault on the file's bytes
// during fn becomes a [*FaultError].
//
// The guard belongs to this goroutine alone: a goroutine that fn starts has none. Nor can a fault be
// caught that the runtime itself meets, as in sending a value straight from mapped memory on a channel.
func (f *File) View(fn func(b []byte) error) (err error) {
	a, err := f.begin(false)
	if err != nil {
		return f.fail("view", err)
	}
	defer f.end("view", a, &err)
	return fn(a.g.data)
}

// Update is View for reading and writing: on a file that is read-only,
// executable or frozen it answers [ErrReadOnly].
func (f *File) Update(fn func(b []byte) error) (err error) {
	a, err := f.begin(true)
	if err != nil {
		return f.fail("update", err)
	}
	defer f.end("update", a, &err)
	return fn(a.g.data)
}

// ReadAt copies bytes of the window from off on into p, as [io.ReaderAt] has it:
// fewer than len(p) come with [io.EOF]. A negative off answers [ErrRange]. After a
// [*FaultError] nothing is known of p.
func (f *File) ReadAt(p []byte, off int64) (n int, err error) {
	a, err := f.begin(false)
	if err != nil {
		return 0, f.fail("read", err)
	}
	defer f.end("read", a, &err)
	switch {
	case off < 0:
		return 0, f.fail("read", ErrRange)
	case off >= int64(len(a.g.data)) && len(p) > 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	// n is set only after the copy: a fault half way reports no bytes.
	c := copy(p, a.g.data[off:])
	if c < len(p) {
		return c, io.EOF
	}
	return c, nil
}

// WriteAt copies p into the window at off. It never extends the file: when p does not fit, nothing is
// written and the error is [ErrRange]. After a [*FaultError] some of
// the bytes may have been written.
func (f *File) WriteAt(p []byte, off int64) (n int, err error) {
	a, err := f.begin(true)
	if err != nil {
		return 0, f.fail("write", err)
	}
	defer f.end("write", a, &err)
	if !bounds.Within(off, int64(len(p)), int64(len(a.g.data))) {
		return 0, f.fail("write", ErrRange)
	}
	return copy(a.g.data[off:], p), nil
}
