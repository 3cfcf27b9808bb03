package core

import (
	"io"

	"github.com/fmmap-go/fmmap/internal/bounds"
)

// View calls fn with the whole window and returns fn's error. The bytes are
// for reading, and only until fn returns; they stay mapped that long, so Close
// and a Truncate that shortens the file wait for fn, and called from fn they
// wait forever.
//
// Touching a page that is not in memory is a page fault, in which the goroutine
// holds its P until the device has responded. To avoid that, call [File.Populate]
// first, or copy by [File.ReadAt], or use Load of package async.
//
// A fault on the file's bytes during fn becomes a [*FaultError]. That includes
// the error of a system call in fn which was refused lost bytes, as in
// out.Write(b): if fn returns it, the result wraps it. (A system call that
// stores into bytes for which the disk has no room keeps its own error.)
//
// The guard belongs to this goroutine, and to Go code, which includes the
// assembly of Go packages, as in crypto/sha256. It cannot catch
//
//   - a fault in a goroutine that fn starts, or in the body of an [iter.Pull]
//     that fn calls, which is a goroutine of its own;
//   - a fault in C code called by fn, or one that a signal handler installed
//     by C code meets: both end the process;
//   - a fault in the runtime itself, as in sending a value straight from
//     mapped memory on a channel;
//   - a fault that a package recovers before it gets here: fmt and
//     text/template do so in the methods that they call, and print or return
//     the panic as something else. Copy such bytes first.
//
// Bytes behind a new end that another process has given the file fault, except
// those in the same page as the new end, which read as zeros. A file that is
// copied and truncated by others, as log rotation does, therefore shows zeros
// rather than an error there; [File.Refresh] follows the new length.
func (f *File) View(fn func(b []byte) error) (err error) {
	u, err := f.begin(false)
	if err != nil {
		return f.fail("view", err)
	}
	defer f.end("view", &u, &err)
	return f.lostBytes("view", u.g.region, 0, int64(len(u.g.data)), fn(u.g.data))
}

// Update is View for reading and writing: on a file that is read-only,
// executable or frozen it returns [ErrReadOnly].
//
// A store to a page that is not writable yet in this process is a page fault, in
// which the goroutine holds its P: until the page has been read, and as long as
// the file system is frozen. [File.Advise] with [AdvicePopulateWrite] makes pages
// writable in a system call first, and [File.WriteAtCall] needs none.
//
// Stores reach the file without a system call that would set its modification
// time at once. On most file systems of Linux the time changes with the first
// store to a page since it was last written back, on tmpfs never, and elsewhere
// at the latest with a flush or the closing. What depends on the time, as make
// and rsync do, may need [os.Chtimes].
func (f *File) Update(fn func(b []byte) error) (err error) {
	u, err := f.begin(true)
	if err != nil {
		return f.fail("update", err)
	}
	defer f.end("update", &u, &err)
	return f.lostBytes("update", u.g.region, 0, int64(len(u.g.data)), fn(u.g.data))
}

// ReadAt copies bytes of the window, starting at off, into p. As [io.ReaderAt]
// demands, it returns [io.EOF] with fewer than len(p) bytes. A negative off is
// [ErrRange]. After a [*FaultError] the contents of p are undefined.
//
// ReadAt, Clone, a [Reader], [Get], [GetSlice] and [Next] read by a system call, in
// which the goroutine gives its P away, what was not lately seen to be in memory:
// see [Options].Reads.
func (f *File) ReadAt(p []byte, off int64) (n int, err error) {
	u, err := f.begin(false)
	if err != nil {
		return 0, f.fail("read", err)
	}
	defer f.end("read", &u, &err)
	if g, want := u.g, int64(len(p)); bounds.Within(off, want, int64(len(g.data))) && g.seen.whole(off, want) {
		copy(p, g.data[off:])
		return len(p), nil
	}
	return f.readAt(u.g, p, off)
}

// readAt is ReadAt in full, of the window of g, of which a use has begun.
func (f *File) readAt(g *generation, p []byte, off int64) (n int, err error) {
	switch {
	case off < 0:
		return 0, f.fail("read", ErrRange)
	case off >= int64(len(g.data)) && len(p) > 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	// n is set only after the copy: a fault half way reports no bytes.
	c := int(min(int64(len(p)), int64(len(g.data))-off))
	if err := f.load("read", g, p[:c], off); err != nil {
		return 0, err
	}
	if c < len(p) {
		return c, io.EOF
	}
	return c, nil
}

// WriteAt copies p into the window at off. It never extends the file: when p
// does not fit, nothing is written and the error is [ErrRange]. After a
// [*FaultError] some of the bytes may have been written.
//
// WriteAt, Zero, a [Writer], [Put], [PutSlice] and [PutNext] store by a system
// call where that is right and the page has not lately been stored to often:
// see [Options].Stores. As a write does, such a store sets the file's
// modification time.
func (f *File) WriteAt(p []byte, off int64) (n int, err error) {
	u, err := f.begin(true)
	if err != nil {
		return 0, f.fail("write", err)
	}
	defer f.end("write", &u, &err)
	if !bounds.Within(off, int64(len(p)), int64(len(u.g.data))) {
		return 0, f.fail("write", ErrRange)
	}
	return f.store("write", u.g, p, off)
}
