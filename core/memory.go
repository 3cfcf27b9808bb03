package core

import (
	"errors"
	"slices"
	"time"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// NewMemory makes a file of the bytes of b, which now belong to it: the same
// methods without a file behind them, for tests and for data that needs no disk.
// It grows in place up to the capacity of b; past it, growing waits for
// operations and pins. Flushing succeeds and does nothing.
func NewMemory(name string, b []byte) *File {
	f := &File{name: name, access: ReadWrite, protection: sys.ReadWrite, made: time.Now()}
	r := newRegion()
	if b == nil {
		b = []byte{} // a region with a heap is memory, one without is a file's
	}
	r.heap, r.room = slices.Clip(b[:cap(b)]), int64(cap(b))
	f.publishInitial(r, int64(len(b)))
	f.trackOpen(0)
	return f
}

// NewAnonymous maps size bytes of zeroed memory that no file backs, outside the
// garbage collector's heap; with [Options].Stack, fit for a thread's stack. It
// grows in place within Reserve; past it, growing waits for operations and pins.
// Of the options, Access is ignored: the memory is read-write.
func NewAnonymous(size int64, o Options) (*File, error) {
	const name = "anonymous"
	if err := o.check(anonymous); err != nil {
		return nil, pathError("open", name, err)
	}
	o.Access = ReadWrite
	if size < 0 || size > maxAddress {
		return nil, pathError("open", name, ErrRange)
	}
	size = max(size, o.Size)
	f := &File{name: name, access: ReadWrite, opts: o, protection: sys.ReadWrite, made: time.Now()}
	r, err := memoryRegion(true, size, o.room(size), o)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	if o.Populate && size > 0 {
		if err := r.m.Populate(0, size, true); err != nil {
			_ = r.unmap()
			return nil, pathError("open", name, err)
		}
	}
	f.publishInitial(r, size)
	f.trackOpen(0)
	return f, nil
}

// memoryRegion returns a region that no file backs: n zeroed bytes in room to grow.
func memoryRegion(anonymous bool, n, room int64, o Options) (*region, error) {
	var err error
	r := newRegion()
	if !anonymous {
		r.heap, err = onHeap(room)
		r.room = room
		return r, err
	}
	room = max(room, n, sys.PageSize())
	r.m, err = sys.Map(nil, sys.MapOptions{
		Access: sys.ReadWrite, Len: max(n, sys.PageSize()), Reserve: room, Huge: o.HugePages, Stack: o.Stack,
	})
	if err != nil {
		return nil, err
	}
	r.room = r.m.Room()
	return r, nil
}

// onHeap allocates n bytes of heap memory. When there is not as much, the runtime
// ends the process; so the system is asked first for sizes that may be too much.
func onHeap(n int64) (b []byte, err error) {
	const large = 64 << 20
	if n >= large {
		m, err := sys.Map(nil, sys.MapOptions{Access: sys.ReadWrite, Len: n})
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return nil, err
		}
		if err == nil {
			_ = m.Unmap()
		}
	}
	defer func() {
		if recover() != nil { // make refuses what no heap could hold
			b, err = nil, ErrRange
		}
	}()
	return make([]byte, n), nil
}
