package core

import (
	"container/list"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/lock"
)

// File is a mapped file, or memory that behaves like one.
//
// Its methods may be called by many goroutines at once. The bytes themselves
// are plain memory: goroutines that load and store the same bytes synchronise
// as they would for any slice.
type File struct {
	name   string
	file   *os.File // nil: heap or anonymous memory
	access Access
	opts   Options
	made   time.Time // when memory without a file was

	// gen is the current generation, see lifetime.go; stored under mu only.
	gen atomic.Pointer[generation]

	// mu guards what follows. It is held neither across a wait nor while ready
	// functions are called; pinList.mu is taken within it.
	mu       sync.Mutex
	retired  []*region // replaced by growth; unmapped after their last use
	reapErr  error     // the first one of unmapping a retired region
	queue    list.List // of *Change, in order; the front is under way
	length   int64     // of the window, closed or not
	advice   []Advice  // given for the whole window, for regions to come
	readOnly bool      // frozen, or never writable
	closing  bool
	steps    int // regions and wake-ups looked at, for tests of what an operation costs

	// protection of the memory: what access asks for, until a freeze changes it.
	// Only the change at the front of the queue writes it, and reads it to map
	// another region.
	protection sys.Access

	unit       int64 // of mappings of file, in bytes
	device     bool  // mapped by Map: its size is fixed
	deviceSize int64 // that the device reports, or that is mapped

	lock   *lock.Lock // held since open; nil with NoLock
	track  *openFile  // nil: not tracked, see Track
	dir    parent
	flush  flushState
	stores storeState
	order  atomic.Uint32 // what Order returns
	loads  loadState
}

// Name returns the name given to Open, or to the memory.
func (f *File) Name() string { return f.name }

// String describes the file for people: its name, what its access is, and its
// length or that it is closed.
func (f *File) String() string {
	g := f.gen.Load()
	if g.closed {
		return fmt.Sprintf("%s (%v, closed)", f.name, f.access)
	}
	return fmt.Sprintf("%s (%v, %d bytes)", f.name, f.access, len(g.data))
}

// Len returns the length of the window in bytes. The file is longer by
// [Options].Offset, which [File.Truncate] counts.
//
// The length is 0 when the file is closed. A loop over chunks below Len does
// nothing then and meets no error; View, Pin, NewReader and the like return
// [fs.ErrClosed], also for an empty range.
func (f *File) Len() int64 { return int64(len(f.gen.Load().data)) }

// Access returns the access that the file was opened with. Freezing does not
// change it.
func (f *File) Access() Access { return f.access }

// Stat describes the file as it is now, whatever its window shows. [os.SameFile],
// given that and an [os.Stat] of the name, reports whether the name still means
// this file. For memory without a file the description consists of its name and
// length, and of the time at which it was made.
func (f *File) Stat() (fs.FileInfo, error) {
	g, s, err := f.enter()
	if err != nil {
		return nil, f.fail("stat", err)
	}
	defer f.leave(g.epoch, s)
	if f.file == nil {
		return memoryInfo{f.name, int64(len(g.data)), f.made}, nil
	}
	fi, err := f.file.Stat()
	return fi, f.fail("stat", err)
}

// Fd returns the descriptor or handle of the file, ^uintptr(0) when there is
// none. It is valid until the file is closed, and the caller must not close it.
func (f *File) Fd() uintptr {
	fd := ^uintptr(0)
	if f.file == nil {
		return fd
	}
	// Not the Fd of os.File, which a Close must not overlap.
	if c, err := f.file.SyscallConn(); err == nil {
		_ = c.Control(func(open uintptr) { fd = open }) // fails when closed
	}
	return fd
}

// Dup returns another descriptor of the open file, to be passed to another
// process or to [Map]. The caller closes it; closing the one does not affect the
// other. Both have one lock: a process that has the duplicate keeps the file
// locked when this one is killed. Memory without a file returns
// [errors.ErrUnsupported].
func (f *File) Dup() (*os.File, error) {
	g, s, err := f.enter()
	if err != nil {
		return nil, f.fail("dup", err)
	}
	defer f.leave(g.epoch, s)
	if f.file == nil {
		return nil, f.fail("dup", errNoFile)
	}
	another, err := sys.Duplicate(f.file)
	return another, f.fail("dup", err)
}

// NewLock returns an advisory lock on the same open file, to coordinate with
// other holders beyond the lock that opening takes; that one does not stand in
// its way. It must be released before the file is closed. Where there is no file,
// all of its methods fail with [errors.ErrUnsupported].
func (f *File) NewLock() *lock.Lock {
	switch {
	case f.lock != nil:
		return f.lock.Nested()
	}
	return lock.New(f.file)
}

// memoryInfo describes memory without a file.
type memoryInfo struct {
	name string
	size int64
	made time.Time
}

func (i memoryInfo) Name() string       { return i.name }
func (i memoryInfo) Size() int64        { return i.size }
func (i memoryInfo) Mode() fs.FileMode  { return 0o600 }
func (i memoryInfo) ModTime() time.Time { return i.made }
func (i memoryInfo) IsDir() bool        { return false }
func (i memoryInfo) Sys() any           { return nil }
