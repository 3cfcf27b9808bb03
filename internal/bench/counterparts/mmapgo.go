package counterparts

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"unsafe"

	"github.com/edsrzf/mmap-go"
	"golang.org/x/sys/unix"
)

// What each of the programs over mmap-go needs beside it is here once. It counts
// for each that uses it.

// openLocked opens a file and locks it as flock(1) does.
func openLocked(name string, flags, how int) (*os.File, error) {
	f, err := os.OpenFile(name, flags, 0o644)
	if err != nil {
		return nil, err
	}
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(int(f.Fd()), how)
	}
	if err != nil {
		_ = f.Close()
		return nil, &os.PathError{Op: "flock", Path: name, Err: err}
	}
	return f, nil
}

// mapWhole maps a file, which the system refuses for one that is empty.
func mapWhole(f *os.File, prot int) (mmap.MMap, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return nil, err
	}
	return mmap.Map(f, prot, 0)
}

// mapGrown maps a file that is made as long as size if it is shorter.
func mapGrown(f *os.File, size int64) (mmap.MMap, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() < size {
		if err := f.Truncate(size); err != nil {
			return nil, err
		}
	}
	return mmap.Map(f, mmap.RDWR, 0)
}

// unmapAndClose ends a mapping, of nothing in an empty file.
func unmapAndClose(f *os.File, data mmap.MMap) (err error) {
	if data != nil {
		err = data.Unmap()
	}
	return errors.Join(err, f.Close())
}

// guard calls fn, and makes a fault on the mapped bytes b an error.
func guard(b []byte, fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		fault, ok := r.(interface{ Addr() uintptr })
		if !ok {
			panic(r)
		}
		off := fault.Addr() - uintptr(unsafe.Pointer(unsafe.SliceData(b)))
		if off >= uintptr(len(b)) {
			panic(r)
		}
		err = fmt.Errorf("fault at byte %d", off)
	}()
	return fn()
}
