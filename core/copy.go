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

// CopyTo copies [off, off+n) of the window to a file of that name, durably and
// atomically: when it returns nil the new file survives a power cut under its
// name, and until then the name means what it meant before. An existing file of
// that name is replaced, including the one that is mapped, unless the system
// refuses that (Windows may, while the file is mapped). A symbolic link is
// replaced too, not followed. Where the name is, or links to, what is not a
// regular file (a directory, a device, a FIFO, a socket), it stays and CopyTo
// returns [errors.ErrUnsupported].
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

// CopyToContext is [File.CopyTo] that gives up between chunks when ctx is done:
// then nothing has changed, and the error wraps [context.Cause].
func (f *File) CopyToContext(ctx context.Context, name string, off, n int64) error {
	const op = "copy"
	p, err := f.pin(op, off, n, false)
	if err != nil {
		return err
	}
	defer p.Release()
	dirName, base := splitName(name)
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
	// All steps use one descriptor of the directory, whatever becomes of its name.
	dir, err := sys.OpenDir(dirName)
	if err != nil {
		return pathError(op, name, err)
	}
	defer dir.Close()
	err = writeFileAtomically(dir, name, perm, func(dst *os.File) error { return p.copyTo(ctx, dst) })
	if errors.Is(err, ErrFault) { // which is the source's
		return f.fail(op, err)
	}
	return pathError(op, name, err)
}

// writeFileAtomically writes a temporary file with fill, syncs it, and renames it
// to the entry that name has in dir.
func writeFileAtomically(dir *sys.Dir, name string, perm fs.FileMode, fill func(*os.File) error) (err error) {
	_, base := splitName(name)
	if err := checkReplaceable(dir, name, base); err != nil {
		return err
	}
	temp := ".fmmap-" + rand.Text() // 128 bits: a name that is taken would be an attack, and fails
	dst, err := dir.Create(temp, 0, perm, name)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = dir.Remove(temp)
		}
	}()
	err = fill(dst)
	if err == nil {
		err = sys.SyncFile(dst)
	}
	if dir.Listable() {
		if cerr := dst.Close(); err == nil {
			err = cerr
		}
	} else {
		defer dst.Close() // it is what the directory is synced by
	}
	if err == nil {
		err = checkReplaceable(dir, name, base) // it may have come while the copy was made
	}
	if err != nil {
		return err
	}
	if err := dir.Rename(temp, base); err != nil {
		if le, ok := err.(*os.LinkError); ok {
			err = le.Err // the caller knows none of the names in it
		}
		return err
	}
	return syncNames(dir, dst)
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
