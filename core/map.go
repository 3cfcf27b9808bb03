package core

//lint:file-ignore ST1005 errors of options begin with the name of a field

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// Map maps a file that is open already, under the same lock and by the same
// rules as [OpenFile]: one that was opened elsewhere or by an [os.Root], that has
// no name any longer, that another process has passed on (see [NewShared]), or
// a device that can be mapped.
//
// f remains the caller's to close, at any time: the File has a duplicate of
// the descriptor. The lock belongs to the open file, and so to f as well. A
// program that locks f by itself sets NoLock.
//
// Access is checked against what the descriptor allows, whatever the process
// may do otherwise: one that was opened for reading alone is never mapped
// [ReadWrite], and one that was opened for writing alone not at all. Both return
// [fs.ErrPermission]. For ReadWrite, [os.O_APPEND] is [fs.ErrInvalid]. Create,
// Perm and Flags are refused.
//
// The name is f.Name(), if that leads to the file when Map is called. Otherwise
// no name is known: [File.Remove] returns [errors.ErrUnsupported], and so does
// Map with RemoveOnClose.
//
// The size of a device is fixed: options and methods that would change it return
// [errors.ErrUnsupported], and nothing is reserved behind the window. A device
// that reports no size needs Length; what it has there is the caller's to know.
// Whatever cannot be mapped returns [errors.ErrUnsupported].
func Map(f *os.File, o Options) (*File, error) {
	return MapContext(context.Background(), f, o)
}

// MapContext is like [Map], except that it ends with ctx as [OpenFileContext]
// does.
func MapContext(ctx context.Context, f *os.File, o Options) (*File, error) {
	p, err := mapperOf(ctx, f, o)
	if err != nil {
		return nil, err
	}
	return p.run(ctx)
}

// mapperOf returns the opener of a file that is open already.
func mapperOf(ctx context.Context, f *os.File, o Options) (*opener, error) {
	p := &opener{what: "map", file: f, o: o}
	err := fs.ErrInvalid
	if f != nil {
		p.name = f.Name()
		err = o.check(descriptor)
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return p, pathError(p.what, p.name, err)
}

// adopt duplicates the descriptor of an open file, and finds out what the file is
// and allows.
func adopt(f *os.File, o Options) (op opening, err error) {
	if op.file, err = sys.Duplicate(f); err != nil {
		return op, err
	}
	if err = op.identify(f.Name(), o); err != nil {
		op.file.Close()
	}
	return op, err
}

func (op *opening) identify(name string, o Options) (err error) {
	if op.info, err = op.file.Stat(); err != nil {
		return err
	}
	op.unit = sys.GranularityOf(op.file, op.info)
	op.device = !op.info.Mode().IsRegular()
	if op.device && op.info.Mode()&fs.ModeDevice == 0 {
		return errNoMapping
	}
	if err := allowed(op.file, o.Access); err != nil {
		return err
	}
	found, err := os.Stat(name)
	op.nameless = err != nil || !os.SameFile(op.info, found)
	switch {
	case op.nameless && o.RemoveOnClose:
		return fmt.Errorf("RemoveOnClose: %w", errNoName)
	case op.device && o.Truncate:
		return fmt.Errorf("Truncate: %w", errDevice)
	case op.device && o.Size > 0:
		return fmt.Errorf("Size: %w", errDevice)
	}
	return nil
}

// allowed checks the access against what the descriptor was opened for.
func allowed(f *os.File, a Access) error {
	mode, err := sys.OpenMode(f)
	if err != nil {
		return err
	}
	switch mode &^ os.O_APPEND {
	case os.O_WRONLY:
		return fmt.Errorf("opened for writing alone: %w", fs.ErrPermission)
	case os.O_RDONLY:
		if a == ReadWrite {
			return fmt.Errorf("Access is %v, and the file was opened for reading alone: %w", a, fs.ErrPermission)
		}
	}
	if a == ReadWrite && mode&os.O_APPEND != 0 {
		return fmt.Errorf("Access is %v, and the file was opened with O_APPEND: %w", a, fs.ErrInvalid)
	}
	return nil
}

// sizeOfDevice returns the size that the device reports, and of one that reports
// none the end of the window.
func sizeOfDevice(f *os.File, o Options) (int64, error) {
	size, err := sys.DeviceSize(f)
	if !errors.Is(err, errors.ErrUnsupported) {
		return size, err
	}
	if o.Length == 0 {
		return 0, fmt.Errorf("Length is needed, as the device reports no size: %w", ErrRange)
	}
	return o.Offset + o.Length, nil
}

// room returns the address space to map for a window of n bytes.
func (f *File) room(n int64) int64 {
	if f.device {
		return n // behind it may lie what is not the caller's to map
	}
	return f.opts.room(n)
}

// NewShared maps size bytes of zeroed memory that other processes can map:
// a file that has no name, in memory on Linux, and elsewhere in the directory for
// temporary files. It is gone with the last descriptor and mapping of it.
//
// A process gets it as a descriptor ([File.Dup], [os/exec.Cmd].ExtraFiles, a
// Unix socket; on Windows an inherited handle) and maps it with [Map] and NoLock:
// NewShared takes no lock. It grows and shrinks as any file, and [File.Refresh]
// follows in the other processes. name is what the system may show in its lists.
//
// Of the options, Access and NoLock are ignored, and those that open files or
// choose a window are refused.
func NewShared(name string, size int64, o Options) (*File, error) {
	const what = "create"
	if err := o.check(shared); err != nil {
		return nil, pathError(what, name, err)
	}
	if size < 0 || size > maxAddress {
		return nil, pathError(what, name, ErrRange)
	}
	file, err := sys.NewShared(name)
	if err != nil {
		return nil, pathError(what, name, err)
	}
	o.Access, o.NoLock, o.Size = ReadWrite, true, max(size, o.Size)
	return newFile(context.Background(), what, name, opening{file: file, nameless: true, unit: sys.GranularityOf(file, nil)}, o)
}
