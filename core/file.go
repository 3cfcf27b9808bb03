package core

import (
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
	made   time.Time // when a file that is only memory was

	// gen is the current generation; stored under mu only.
	gen atomic.Pointer[generation]

	// mu guards what follows. It is never held across a wait, nor while calling
	// ready functions; pinList.mu is taken within it.
	mu       sync.Mutex
	old      []*region // superseded by growth, until their last pin goes
	queue    []*Change // resizes, freezes and the closing, in order; [0] is under way
	length   int64     // of the window, closed or not
	advice   []Advice  // given for the whole window, for regions to come
	readOnly bool      // frozen, or never writable
	closing  bool

	// protection of the memory: what access asks for until a freeze changes it. Only the
	// change at the head of the queue writes it, and reads it to map another region.
	protection sys.Access

	lock  *lock.Lock // held since open; nil with NoLock
	dir   parent
	flush flushState
}

// Name is the name given to Open, or to the memory.
func (f *File) Name() string { return f.name }

// Len is the length of the window in bytes, 0 when the file is closed.
func (f *File) Len() int64 { return int64(len(f.gen.Load().data)) }

// Access tells what was asked for when the file was opened. Freezing does not change it.
func (f *File) Access() Access { return f.access }

// Stat describes the file as it is now, whatever its window shows. For a file
// that is only memory the description is made up from its name and length.
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

// Fd is the descriptor or handle of the file, ^uintptr(0) when there is none.
// It is valid until the file is closed and must not be closed by the caller.
func (f *File) Fd() uintptr {
	fd := ^uintptr(0)
	if f.file == nil {
		return fd
	}
	// Not the Fd of os.File, which a Close must not overlap.
	if c, err := f.file.SyscallConn(); err == nil {
		_ = c.Control(func(now uintptr) { fd = now }) // fails when closed
	}
	return fd
}

// NewLock returns an advisory lock on the same open file, to coordinate with
// other holders beyond the lock that opening takes; that one does not stand in
// its way. It must be released before the file is closed. It is nil when there is no file.
func (f *File) NewLock() *lock.Lock {
	switch {
	case f.file == nil:
		return nil
	case f.lock != nil:
		return f.lock.Nested()
	}
	return lock.New(f.file)
}

// load returns the current generation, once it can be used.
func (f *File) load() (*generation, error) {
	for {
		g := f.gen.Load()
		switch {
		case g.closed:
			return nil, fs.ErrClosed
		case g.gate == nil:
			return g, nil
		}
		<-g.gate
	}
}

// enter lets a short operation in: its generation's region stays mapped and
// the file open until leave. It writes only to a stripe of this P.
func (f *File) enter() (*generation, *stripe, error) {
	i := myStripe()
	for {
		g, err := f.load()
		if err != nil {
			return nil, nil, err
		}
		s := &g.epoch.stripes[i&uint32(len(g.epoch.stripes)-1)]
		s.n.Add(1)
		// A change publishes its generation first and reads the stripes afterwards,
		// so either it sees this operation or the operation sees the new generation.
		if f.gen.Load() == g {
			return g, s, nil
		}
		f.leave(g.epoch, s)
	}
}

// leave ends what enter began.
func (f *File) leave(e *epoch, s *stripe) {
	s.n.Add(-1)
	if e.old.Load() {
		f.settle()
	}
}

// memoryInfo describes a file that is only memory.
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
