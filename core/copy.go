package core

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// CopyTo copies [off, off+n) of the window to a file of that name, durably and
// atomically: when it returns nil the new file survives a power cut under its
// name, and until then the name keeps its old meaning. An existing file of that
// name is replaced, including the one that is mapped, unless the system refuses
// that (Windows may, while the file is mapped). A symbolic link is replaced too,
// not followed. If the name is a directory, a device, a FIFO or a socket, or a
// link to one, it stays and CopyTo returns [errors.ErrUnsupported].
//
// The copy is made in the name's directory under a name of its own, with the
// permissions of the source at most, and moved into place in that same
// directory, wherever that has been moved meanwhile. After an error nothing of it
// is left, unless the last step failed: then the copy is in place, but may not
// survive a power cut. A process that is killed meanwhile leaves a file named
// .fmmap- and 26 letters and digits, which can be deleted.
//
// Where the kernel can, it copies by itself and shares blocks (copy_file_range,
// reflink). The bytes are pinned until the copy is complete. It is a copy of one
// moment only if no store is made meanwhile.
func (f *File) CopyTo(name string, off, n int64) error {
	return f.CopyToContext(context.Background(), name, off, n)
}

// CopyToContext is [File.CopyTo] that gives up between steps when ctx is done:
// then nothing has changed, and the error wraps [context.Cause].
func (f *File) CopyToContext(ctx context.Context, name string, off, n int64) error {
	c, err := f.StartCopy(name, off, n)
	if err != nil {
		return err
	}
	for {
		if ctx.Err() != nil {
			c.Cancel()
			return pathError("copy", name, context.Cause(ctx))
		}
		if done, err := c.Step(); done || err != nil {
			return err
		}
	}
}

// A Copy is a [File.CopyTo] under way, for callers that must not work for long at
// a time. It must be ended by Step or Cancel, and is used by one goroutine at a
// time.
type Copy struct {
	pin    *Pin // nil once the copy is over
	name   string
	base   string // the entry of name in dir
	dir    *sys.Dir
	temp   string   // the entry of dst in dir; empty once it has been renamed
	dst    *os.File // the copy
	copied int64    // bytes from the start
	kernel bool     // the kernel still copies
	step   int64    // of the next request to the kernel

	begun, before int64 // [before, begun) is being written to the device, see writeBehind
}

// StartCopy begins a [File.CopyTo], which the steps of the Copy perform.
func (f *File) StartCopy(name string, off, n int64) (_ *Copy, err error) {
	const op = "copy"
	p, err := f.pin(op, off, n, false)
	if err != nil {
		return nil, err
	}
	c := &Copy{pin: p, name: name, step: minKernelStep}
	defer func() {
		if err != nil {
			c.Cancel()
		}
	}()
	dirName, base := splitName(name)
	if name == "" || os.IsPathSeparator(name[len(name)-1]) || base == "." || !filepath.IsLocal(base) {
		return nil, pathError(op, name, fs.ErrInvalid)
	}
	c.base = base
	perm := fs.FileMode(0o600)
	if f.file != nil {
		fi, err := f.file.Stat()
		if err != nil {
			return nil, f.fail(op, err)
		}
		perm = fi.Mode().Perm()
	}
	// All steps use one descriptor of the directory, whatever becomes of its name.
	if c.dir, err = sys.OpenDir(dirName); err != nil {
		return nil, pathError(op, name, err)
	}
	if err := checkReplaceable(c.dir, name, base); err != nil {
		return nil, pathError(op, name, err)
	}
	temp := ".fmmap-" + rand.Text() // 128 bits: a name that is taken would be an attack, and fails
	if c.dst, err = c.dir.Create(temp, 0, perm, name); err != nil {
		return nil, pathError(op, name, err)
	}
	c.temp = temp
	// After a failed flush the bytes may be in memory only. Blocks that the kernel
	// shares would then be old ones.
	c.kernel = n > 0 && f.file != nil && f.access != CopyOnWrite && f.flush.err() == nil
	return c, nil
}

// Step copies some more bytes or, as the last step, makes the copy durable and
// renames it. It reports whether the copy is complete. After that, and after an
// error, the copy is over. Where the system can write behind (Linux), a step
// also has the device write what the step before it has copied, so that little
// is left for the last one.
func (c *Copy) Step() (done bool, err error) {
	const op = "copy"
	switch {
	case c.pin == nil:
		return false, pathError(op, c.name, fs.ErrClosed)
	case c.kernel:
		begin := time.Now()
		if err = c.copyInKernel(); err == nil {
			err = c.writeBehind()
		}
		c.adapt(time.Since(begin))
	case c.copied < c.pin.Len():
		if err = c.copyChunk(); err == nil {
			err = c.writeBehind()
		}
	default:
		err, done = c.commit(), true
	}
	if err == nil && !done {
		return false, nil
	}
	f := c.pin.file
	c.Cancel()
	if errors.Is(err, ErrFault) { // which is the source's
		return false, f.fail(op, err)
	}
	return err == nil, pathError(op, c.name, err)
}

// Cancel ends a copy that is not over, and leaves nothing of it.
func (c *Copy) Cancel() {
	if c.pin == nil {
		return
	}
	if c.dst != nil {
		_ = c.dst.Close()
	}
	if c.temp != "" {
		_ = c.dir.Remove(c.temp)
	}
	if c.dir != nil {
		_ = c.dir.Close()
	}
	c.pin.Release()
	c.pin = nil
}

// A step by the kernel has as many bytes as it takes about kernelStepTime for, since
// a device may be slow. It has no more than maxKernelStep however short the last one
// was: sharing blocks that are clean takes no time for any number of bytes, and the
// next ones may be dirty, which the kernel first writes with the file locked.
const (
	minKernelStep  = 1 << 20
	maxKernelStep  = 32 << 20
	kernelStepTime = 10 * time.Millisecond
)

// adapt sets the size of the next step by the time of the last one.
func (c *Copy) adapt(took time.Duration) {
	switch {
	case took < kernelStepTime/2:
		c.step = min(2*c.step, maxKernelStep)
	case took > 2*kernelStepTime:
		part := int64(float64(c.step) * float64(kernelStepTime) / float64(took))
		c.step = max(part&^(minKernelStep-1), minKernelStep)
	}
}

// copyInKernel copies a chunk without the bytes passing through this process, as
// long as the kernel can.
func (c *Copy) copyInKernel() error {
	f, off := c.pin.file, c.pin.off
	from := f.opts.Offset + off + c.copied
	n, err := sys.CopyRange(c.dst, c.copied, f.file, from, min(c.pin.Len()-c.copied, c.step))
	c.copied += n
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		c.kernel = false
	case errors.Is(err, io.ErrUnexpectedEOF): // another process has made the file shorter
		return &FaultError{Offset: from + n}
	case err != nil:
		return err
	case c.copied == c.pin.Len():
		c.kernel = false
	}
	if !c.kernel && c.copied > 0 && f.unwritten(off, c.copied) {
		c.copied, c.begun, c.before = 0, 0, 0
	}
	return nil
}

// writeBehind begins writing what the last step has copied, unless the commit
// follows, and waits for what the step before it has. So no more than two steps
// are left for the commit to write, which cannot be given up, and a long copy
// does not fill the memory with dirty pages, for which others would wait.
//
// The kernel reports a write that has failed once. So an error ends the copy.
func (c *Copy) writeBehind() error {
	if c.copied == c.pin.Len() || c.copied == c.begun {
		return nil
	}
	err := sys.StartWriteback(c.dst, c.begun, c.copied-c.begun)
	if err == nil && c.begun > c.before {
		err = sys.AwaitWriteback(c.dst, c.before, c.begun-c.before)
	}
	c.before, c.begun = c.begun, c.copied
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// copyChunk copies a chunk through memory.
func (c *Copy) copyChunk() error {
	end := min(c.copied+chunk, c.pin.Len())
	n, err := c.pin.passBytes("copy", false, c.copied, end, func(b []byte) (int, error) {
		return c.dst.WriteAt(b, c.copied)
	})
	c.copied += int64(n)
	return err
}

// commit syncs the copy and renames it to the entry that name has in dir.
func (c *Copy) commit() error {
	if err := sys.SyncFile(c.dst); err != nil {
		return err
	}
	if c.dir.Listable() { // otherwise the directory is synced by the file
		if err := c.dst.Close(); err != nil {
			return err
		}
	}
	if err := checkReplaceable(c.dir, c.name, c.base); err != nil { // it may have come while the copy was made
		return err
	}
	if err := c.dir.Rename(c.temp, c.base); err != nil {
		if le, ok := err.(*os.LinkError); ok {
			err = le.Err // the caller knows none of the names in it
		}
		return err
	}
	c.temp = ""
	return syncNames(c.dir, c.dst)
}

// checkReplaceable returns an error when the entry is neither absent, nor a
// regular file, nor a symbolic link to a regular file or to nothing.
func checkReplaceable(dir *sys.Dir, name, base string) error {
	mode, err := dir.Type(base)
	if err == nil && mode&fs.ModeSymlink != 0 {
		var fi fs.FileInfo
		if fi, err = os.Stat(name); err == nil {
			mode = fi.Mode().Type()
		}
	}
	if err == nil && mode != 0 {
		return errNotRegular
	}
	return nil
}

// unwritten reports whether the kernel could not write pages of the file, now or
// before. It calls them clean from then on, so that a copy which shares their
// blocks has old bytes.
func (f *File) unwritten(off, n int64) bool {
	_ = f.flush.recordWritebackErr(func() error { return sys.AwaitWriteback(f.file, f.opts.Offset+off, n) }) // remembered
	return f.flush.err() != nil
}

// Clone returns a copy of the whole window on the heap.
func (f *File) Clone() (b []byte, err error) {
	u, err := f.begin(false)
	if err != nil {
		return nil, f.fail("clone", err)
	}
	defer f.end("clone", &u, &err)
	c, err := onHeap(int64(len(u.g.data)))
	if err != nil {
		return nil, f.fail("clone", err)
	}
	for off := int64(0); off < int64(len(c)); off += chunk {
		if err := f.load("clone", u.g, c[off:min(off+chunk, int64(len(c)))], off); err != nil {
			return nil, err
		}
	}
	return c, nil
}
