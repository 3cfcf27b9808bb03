package core

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// CopyTo copies [off, off+n) of the window to a file of that name, durably and atomically: when it returns nil the new file
// survives a power cut under its name, and until then the name means what it meant before. An
// existing file of that name is replaced, the one that is mapped included, unless the system refuses that (Windows may, while
// the file is mapped); a symbolic link is replaced too, not followed. A directory stays, and the copy fails.
//
// The copy is made in the name's directory under a name of its own, with the permissions of the source at most, and
// moved into place in that same directory, wherever it has been moved meanwhile. On an error nothing of it is left, unless
// the last step failed: then the copy is in place, but that it is may not survive a power cut.
//
// Where the kernel can, it copies by itself and shares blocks (copy_file_range, reflink). The bytes are
// pinned for as long as it takes. It is a copy of one moment only if nobody stores meanwhile.
func (f *File) CopyTo(name string, off, n int64) error {
	return f.CopyToContext(context.Background(), name, off, n)
}

// CopyToContext is [File.CopyTo] that gives up between chunks when ctx is done: then nothing has changed, and
// the error wraps [context.Cause].
func (f *File) CopyToContext(ctx context.Context, name string, off, n int64) error {
	const op = "copy"
	p, err := f.pin(op, off, n, false)
	if err != nil {
		return err
	}
	defer p.Release()
	base := filepath.Base(name)
	if name == "" || os.IsPathSeparator(name[len(name)-1]) || base == "." || !filepath.IsLocal(base) {
		return pathError(op, name, fs.ErrInvalid)
	}
	perm := fs.FileMode(0o600)
	if f.file != nil {
		fi, err := f.file.Stat()
		if err != nil {
			return f.fail(op, err)
		}
		perm = fi.Mode().Perm()
	}
	// Everything goes through one descriptor of the directory: whatever becomes of its name.
	root, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return pathError(op, name, err)
	}
	defer root.Close()
	err = replace(root, base, perm, func(dst *os.File) error { return p.copyTo(ctx, dst) })
	if errors.Is(err, ErrFault) { // which is the source's
		return f.fail(op, err)
	}
	return pathError(op, name, err)
}

// replace makes a file by fill, and durable, and then lets the name mean it.
func replace(root *os.Root, base string, perm fs.FileMode, fill func(*os.File) error) (err error) {
	dir, err := root.Open(".") // first, as it may fail
	if err != nil {
		return err
	}
	defer dir.Close()
	temp := ".fmmap-" + rand.Text() // 128 bits: a name that is taken would be an attack, and fails
	dst, err := root.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = root.Remove(temp)
		}
	}()
	err = fill(dst)
	if err == nil {
		err = sys.SyncFile(dst)
	}
	if cerr := dst.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := root.Rename(temp, base); err != nil {
		if le, ok := err.(*os.LinkError); ok {
			err = le.Err // the names in it are none that the caller knows
		}
		return err
	}
	return syncNames(dir)
}

// kernelChunk bounds one request to the kernel, so that a context is looked at in between.
const kernelChunk = 64 << 20

// copyTo writes the pinned bytes to an empty file.
func (p *Pin) copyTo(ctx context.Context, dst *os.File) error {
	done, err := p.copyInKernel(ctx, dst)
	if err == nil && done > 0 && p.file.unwritten(p.off, done) {
		done = 0
	}
	for err == nil && done < p.Len() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var n int
		n, err = p.passBytes("copy", false, done, min(done+chunk, p.Len()), func(b []byte) (int, error) {
			return dst.WriteAt(b, done)
		})
		done += int64(n)
	}
	return err
}

// copyInKernel copies what it can without the bytes passing through this process, and tells how many from the start those are.
func (p *Pin) copyInKernel(ctx context.Context, dst *os.File) (done int64, err error) {
	f := p.file
	if f.file == nil || f.access == CopyOnWrite || f.flush.err() != nil {
		return 0, nil // what is to be copied may be in memory alone: blocks that are shared would be old ones
	}
	for done < p.Len() {
		if ctx.Err() != nil {
			return done, context.Cause(ctx)
		}
		from := f.opts.Offset + p.off + done
		n, err := sys.CopyRange(dst, done, f.file, from, min(p.Len()-done, kernelChunk))
		done += n
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			return done, nil
		case errors.Is(err, io.ErrUnexpectedEOF): // somebody has made the file shorter
			return done, &FaultError{Offset: from + n}
		case err != nil:
			return done, err
		}
	}
	return done, nil
}

// unwritten reports whether the kernel could not write pages of the file, now or before. It calls them clean from
// then on, so that a copy which shares their blocks has old bytes.
func (f *File) unwritten(off, n int64) bool {
	_ = f.flush.recordWritebackErr(func() error { return sys.AwaitWriteback(f.file, f.opts.Offset+off, n) }) // remembered
	return f.flush.err() != nil
}

// Clone returns a copy of the whole window on the heap.
func (f *File) Clone() (b []byte, err error) {
	g, guard, err := f.begin(false)
	if err != nil {
		return nil, f.fail("clone", err)
	}
	defer guard.end("clone", &err)
	c, err := onHeap(int64(len(g.data)))
	if err != nil {
		return nil, f.fail("clone", err)
	}
	copy(c, g.data)
	return c, nil
}
