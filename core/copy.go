package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// CopyTo copies [off, off+n) of the window to a file of that name, durably and atomically: when it returns nil the new file
// survives a power cut under its name, and whatever happens before, the name means what it meant. An
// existing file of that name is replaced; a symbolic link is replaced too, not followed.
//
// Where the kernel can, it copies by itself and shares blocks (copy_file_range, reflink). The copy is made
// in the name's directory under a name of its own, with the permissions of the source at most. It is a copy of one moment only if
// nobody stores meanwhile.
func (f *File) CopyTo(name string, off, n int64) error {
	return f.CopyToContext(context.Background(), name, off, n)
}

// CopyToContext is [File.CopyTo] that gives up between chunks when ctx is done; then nothing has changed.
func (f *File) CopyToContext(ctx context.Context, name string, off, n int64) error {
	const op = "copy"
	p, err := f.Pin(off, n)
	if err != nil {
		return f.fail(op, err)
	}
	defer p.Release()
	base := filepath.Base(name)
	if !filepath.IsLocal(base) || base == "." || name == "" {
		return pathError(op, name, fs.ErrInvalid)
	}
	// Everything goes through one descriptor of the directory: whatever becomes of its name.
	root, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return pathError(op, name, err)
	}
	defer root.Close()
	perm := fs.FileMode(0o600)
	if f.file != nil {
		fi, err := f.file.Stat()
		if err != nil {
			return f.fail(op, err)
		}
		perm = fi.Mode().Perm()
	}
	return pathError(op, name, replace(root, base, perm, func(dst *os.File) error { return p.copyTo(ctx, dst) }))
}

// replace makes a file by fill, and durable, and then lets the name mean it.
func replace(root *os.Root, base string, perm fs.FileMode, fill func(*os.File) error) (err error) {
	var dst *os.File
	var temp string
	for dst == nil {
		temp = fmt.Sprintf(".fmmap-%016x.tmp", rand.Uint64())
		dst, err = root.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
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
		return err
	}
	// From here on the temporary name is gone; removing it again would be harmless.
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return sys.SyncDir(d)
}

// kernelChunk bounds one request to the kernel, so that a context is looked at in between.
const kernelChunk = 64 << 20

// copyTo writes the pinned bytes to an empty file.
func (p *Pin) copyTo(ctx context.Context, dst *os.File) error {
	done := int64(0)
	f := p.file
	if f.file != nil && f.access != CopyOnWrite { // whose private bytes are in memory alone
		for done < p.Len() {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			n, err := sys.CopyRange(dst, done, f.file, f.opts.Offset+p.off+done, min(p.Len()-done, kernelChunk))
			if errors.Is(err, errors.ErrUnsupported) {
				break
			}
			done += n
			if errors.Is(err, io.ErrUnexpectedEOF) { // somebody has made the file shorter
				return &FaultError{Offset: f.opts.Offset + p.off + done}
			}
			if err != nil {
				return err
			}
		}
	}
	for done < p.Len() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		end := min(done+chunk, p.Len())
		err := p.Do(func(b []byte) error {
			_, err := dst.WriteAt(b[done:end], done)
			return err
		})
		if sys.IsFault(err) {
			if fault := p.Populate(); fault != nil {
				err = fault
			}
		}
		if err != nil {
			return err
		}
		done = end
	}
	return nil
}

// Clone returns a copy of the whole window on the heap.
func (f *File) Clone() (b []byte, err error) {
	a, err := f.begin(false)
	if err != nil {
		return nil, f.fail("clone", err)
	}
	defer f.end("clone", a, &err)
	c := make([]byte, len(a.g.data))
	copy(c, a.g.data)
	return c, nil
}
