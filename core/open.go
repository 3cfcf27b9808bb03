package core

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/lock"
)

// Open maps an existing file for reading, whole, under a shared lock.
func Open(name string) (*File, error) { return OpenFile(name, Options{}) }

// Create maps a file of size bytes for reading and writing, under an exclusive lock. A file that
// is there is emptied first; an absent one is made with mode 0o644 before umask.
func Create(name string, size int64) (*File, error) {
	return OpenFile(name, Options{Access: ReadWrite, Create: true, Truncate: true, Size: size})
}

// OpenFile opens and maps a file as the options say. When it fails, an existing file is as it was and an absent
// one is absent again, but for one case: Truncate empties the file before new blocks are allocated, which may fail.
//
// A file locked elsewhere answers [lock.ErrLocked] at once. A name that is not a regular file
// answers [errors.ErrUnsupported].
func OpenFile(name string, o Options) (*File, error) {
	if err := o.check(false); err != nil {
		return nil, pathError("open", name, err)
	}
	if o.Perm == 0 {
		o.Perm = defaultPerm
	}
	op, err := openLocked(name, o)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	f := &File{name: name, file: op.file, access: o.Access, opts: o, lock: op.lock}
	if err := f.setUp(op.size, op.created); err != nil {
		f.dir.close()
		if op.created {
			removeIfSame(name, op.file)
		}
		if op.lock != nil {
			_ = op.lock.Release()
		}
		op.file.Close()
		return nil, pathError("open", name, err)
	}
	return f, nil
}

// setUp gives the opened file, which has was bytes, its length and its mapping.
func (f *File) setUp(was int64, created bool) error {
	if err := f.dir.open(f.name, created, f.opts.RemoveOnClose); err != nil {
		return err
	}
	size := was
	if f.opts.Truncate {
		size = 0
	}
	if final := max(size, f.opts.Size); !f.opts.fits(final) {
		return ErrRange
	}
	// Here the last check has passed; from here on the file may change.
	if f.opts.Truncate && was > 0 {
		if err := sys.Truncate(f.file, 0); err != nil {
			return err
		}
	}
	if f.opts.Size <= size {
		return f.mapFirst(size)
	}
	if err := extend(f.file, size, f.opts.Size, f.opts.Sparse); err != nil {
		return err
	}
	if err := f.mapFirst(f.opts.Size); err != nil {
		_ = sys.Truncate(f.file, size)
		return err
	}
	return nil
}

// mapFirst maps the window of a file of the given size.
func (f *File) mapFirst(size int64) error {
	n := f.opts.window(size)
	if f.access == ReadWrite && !f.opts.Sparse {
		if err := fillHoles(f.file, f.opts.Offset, n, size); err != nil {
			return err
		}
	}
	r, err := f.mapRegion(n, f.opts.room(n))
	if err != nil {
		return err
	}
	if f.opts.Populate && n > 0 && r.m != nil {
		if err := r.fault(r.m.Populate(r.delta, n, false), 0); err != nil {
			_ = r.unmap()
			return err
		}
	}
	f.first(r, n)
	return nil
}

// first publishes the first generation.
func (f *File) first(r *region, n int64) {
	f.length = n
	f.readOnly = f.access == ReadOnly || f.access == ReadExec
	g := &generation{region: r, data: r.window(n), readOnly: f.readOnly, epoch: newEpoch()}
	r.epochs = append(r.epochs, g.epoch)
	f.gen.Store(g)
}

// opening is a file that has been opened, and locked unless NoLock is set.
type opening struct {
	file    *os.File
	created bool       // by this call
	lock    *lock.Lock // held; nil with NoLock
	size    int64      // as it was once the lock was held
}

// openLocked opens the file and takes the lock. The name may come to mean another
// file between the two; then the lock would guard a file that nobody else
// finds, so it looks again until both agree.
func openLocked(name string, o Options) (opening, error) {
	for {
		f, created, err := openOrCreate(name, o)
		if err != nil {
			return opening{}, err
		}
		op := opening{file: f, created: created}
		same, err := op.takeLock(name, o)
		if err == nil && same {
			return op, nil
		}
		if op.lock != nil {
			_ = op.lock.Release()
		}
		if created && err != nil && !errors.Is(err, lock.ErrLocked) { // who has locked it uses it
			removeIfSame(name, f)
		}
		f.Close()
		switch {
		case err != nil:
			return opening{}, err
		case o.Exclusive: // ours was replaced: the name is taken
			return opening{}, fs.ErrExist
		}
	}
}

// takeLock takes the lock and tells whether the name still means the file.
func (op *opening) takeLock(name string, o Options) (same bool, err error) {
	mine, err := op.file.Stat()
	switch {
	case err != nil:
		return false, err
	case !mine.Mode().IsRegular():
		return false, errNotRegular
	case o.NoLock:
		op.size = mine.Size()
		return true, nil
	}
	mode := lock.Shared
	if o.Access == ReadWrite {
		mode = lock.Exclusive
	}
	l := lock.New(op.file)
	if err := l.Try(mode); err != nil {
		return false, err
	}
	op.lock = l
	now, err := os.Stat(name)
	if err != nil || !os.SameFile(mine, now) {
		return false, nil
	}
	op.size = now.Size() // the length of before may be that of before somebody else's Truncate
	return true, nil
}

// openOrCreate opens the file and tells whether this call made it.
func openOrCreate(name string, o Options) (f *os.File, created bool, err error) {
	flags := o.Flags | sys.OpenNonblock // a pipe without a writer must not hold the opener up
	if o.Access == ReadWrite {
		flags |= os.O_RDWR
	}
	for {
		if !o.Exclusive {
			f, err = sys.OpenFile(name, flags, 0)
			if err == nil || !o.Create || !errors.Is(err, fs.ErrNotExist) {
				return f, false, err
			}
		}
		f, err = sys.OpenFile(name, flags|os.O_CREATE|os.O_EXCL, o.Perm)
		if err == nil || o.Exclusive || !errors.Is(err, fs.ErrExist) {
			return f, err == nil, err
		}
		// Made by somebody else just now, unless the name is a symbolic link
		// that leads nowhere: then it would never end.
		if fi, lerr := os.Lstat(name); lerr == nil && fi.Mode()&fs.ModeSymlink != 0 {
			if _, serr := os.Stat(name); errors.Is(serr, fs.ErrNotExist) {
				return nil, false, err
			}
		}
	}
}

// extend makes the file longer, with blocks unless sparse. On an error it has its old length.
func extend(f *os.File, from, to int64, sparse bool) error {
	err := errors.ErrUnsupported
	if !sparse {
		err = sys.Allocate(f, from, to-from)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		err = sys.Truncate(f, to)
	}
	if err != nil {
		// A failed allocation may have gone half way.
		_ = sys.Truncate(f, from)
	}
	return err
}

// fillHoles gives blocks to the holes of the window, so that a store into one cannot
// meet a full disk. Where the file system cannot promise blocks, the guard is what is left.
func fillHoles(f *os.File, off, n, size int64) error {
	if n == 0 {
		return nil
	}
	have, err := sys.Allocated(f)
	if err != nil || have >= size {
		return nil // no holes worth a system call, or nobody can tell
	}
	if free, err := sys.FreeSpace(f); err == nil && free < n-have {
		// It would fail after having filled the disk to the brim.
		return sys.ErrNoSpace
	}
	if err := sys.Allocate(f, off, n); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// mapRegion maps the window's n bytes into room bytes of address space.
func (f *File) mapRegion(n, room int64) (*region, error) {
	r := newRegion()
	r.delta = f.opts.Offset % sys.Granularity()
	r.offset = f.opts.Offset - r.delta
	reserve := r.delta + min(room, maxAddress-r.delta)
	if n == 0 && (!sys.CanReserve || reserve == 0) {
		return r, nil // nothing to map until the file grows
	}
	m, err := sys.Map(f.file, sys.MapOptions{
		Access: f.access.mapping(), Offset: r.offset, Len: r.delta + n, Reserve: reserve, Huge: f.opts.HugePages,
	})
	if err != nil {
		if n == 0 {
			return r, nil
		}
		return nil, err
	}
	r.m, r.room = m, m.Room()-r.delta
	if err := f.prepare(r); err != nil {
		_ = r.unmap()
		return nil, err
	}
	return r, nil
}

// prepare gives a region that follows another what was asked for the whole window.
func (f *File) prepare(r *region) error {
	if r.m == nil {
		return nil
	}
	for _, a := range f.advice {
		_ = r.m.Advise(a.sys(), 0, r.m.Room()) // a hint
	}
	if f.frozen != 0 || f.readOnly && f.access == ReadWrite {
		return r.m.Protect(f.frozen)
	}
	return nil
}

// NewMemory makes a file of the bytes of b, which now belong to it: the same
// methods without a file behind them, for tests and for data that needs no disk.
// It grows in place up to the capacity of b; past it, growing
// waits for operations and pins. Flushing succeeds and does nothing.
func NewMemory(name string, b []byte) *File {
	f := &File{name: name, access: ReadWrite, made: time.Now()}
	r := newRegion()
	if b == nil {
		b = []byte{} // a region with a heap is memory, one without is a file's
	}
	r.heap, r.room = slices.Clip(b[:cap(b)]), int64(cap(b))
	f.first(r, int64(len(b)))
	return f
}

// NewAnonymous maps size bytes of zeroed memory that no file backs, outside the
// garbage collector's heap; with [Options].Stack, fit for a thread's stack. It
// grows in place within Reserve; past it, growing waits for operations and pins.
// Of the options, Access is ignored: the memory is read-write.
func NewAnonymous(size int64, o Options) (*File, error) {
	const name = "anonymous"
	if err := o.check(true); err != nil {
		return nil, pathError("open", name, err)
	}
	o.Access = ReadWrite
	if size < 0 || size > maxAddress {
		return nil, pathError("open", name, ErrRange)
	}
	size = max(size, o.Size)
	f := &File{name: name, access: ReadWrite, opts: o, made: time.Now()}
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
	f.first(r, size)
	return f, nil
}

// memoryRegion is a region that no file backs: n zeroed bytes in room to grow.
func memoryRegion(anonymous bool, n, room int64, o Options) (r *region, err error) {
	r = newRegion()
	if !anonymous {
		defer func() {
			if recover() != nil { // make refuses what no heap could hold
				r, err = nil, ErrRange
			}
		}()
		r.heap, r.room = make([]byte, room), room
		return r, nil
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
