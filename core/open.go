package core

import (
	"context"
	"errors"
	"io/fs"
	"os"

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
// one is absent again, but for one case: Truncate empties the file before new blocks are allocated and
// mapped, which may fail.
//
// A file locked elsewhere answers [lock.ErrLocked] at once. A name that is not a regular file
// answers [errors.ErrUnsupported].
func OpenFile(name string, o Options) (*File, error) {
	return OpenFileContext(context.Background(), name, o)
}

// OpenFileContext is like [OpenFile], except that it fails with an error that
// wraps [context.Cause] when ctx is done before the file is open. What was made
// until then is taken back as after any other error: a file that this call has
// created is removed, one that it has made longer has its old length again, and
// the lock is released. The system calls themselves are not interrupted.
func OpenFileContext(ctx context.Context, name string, o Options) (*File, error) {
	if err := o.check(false); err != nil {
		return nil, pathError("open", name, err)
	}
	if ctx.Err() != nil {
		return nil, pathError("open", name, context.Cause(ctx))
	}
	if o.Perm == 0 {
		o.Perm = defaultPerm
	}
	op, err := openLocked(name, o)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	f := &File{name: name, file: op.file, access: o.Access, opts: o, protection: o.Access.mapping(), lock: op.lock}
	if err := f.setUp(ctx, op.size, op.created); err != nil {
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

// setUp gives the opened file, which has was bytes, its length and its mapping,
// unless ctx is done by then.
func (f *File) setUp(ctx context.Context, was int64, created bool) error {
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
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// Here the last check has passed; from here on the file may change.
	if f.opts.Truncate && was > 0 {
		if err := empty(f.file, was, f.opts.Size); err != nil {
			return err
		}
	}
	if f.opts.Size <= size {
		return f.mapFirst(ctx, size)
	}
	if err := extend(f.file, size, f.opts.Size, f.opts.Sparse); err != nil {
		return err
	}
	if err := f.mapFirst(ctx, f.opts.Size); err != nil {
		_ = sys.Truncate(f.file, size)
		return err
	}
	return nil
}

// empty cuts off what the file has, unless it cannot have the length that it is to get.
func empty(f *os.File, was, next int64) error {
	if next > was {
		if err := sys.Truncate(f, next); err != nil {
			return err
		}
	}
	err := sys.Truncate(f, 0)
	if err != nil && next > was {
		_ = sys.Truncate(f, was)
	}
	return err
}

// mapFirst maps the window of a file of the given size.
func (f *File) mapFirst(ctx context.Context, size int64) error {
	n := f.opts.window(size)
	if err := f.fillHoles(0, n, size); err != nil {
		return err
	}
	r, err := f.mapRegion(n, f.opts.room(n))
	if err != nil {
		return err
	}
	if f.opts.Populate && n > 0 && r.m != nil {
		err = r.fault(r.m.Populate(r.delta, n, false), 0)
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = r.unmap()
		return err
	}
	f.publishInitial(r, n)
	return nil
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
	for range maxReopened {
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
	return opening{}, errUnsteady
}

// maxReopened is how often a name may be found to mean another file than the one just opened. More often is no race
// with somebody who replaces the file: some Flags open what has no name.
const maxReopened = 100

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

// fillHoles gives blocks to the holes in [from, to) of the window on a file of the given size, so that a store
// into one cannot meet a full disk. Where the file system cannot promise blocks, the guard is what is left.
func (f *File) fillHoles(from, to, size int64) error {
	if from >= to || f.access != ReadWrite || f.readOnly || f.opts.Sparse {
		return nil
	}
	have, err := sys.Allocated(f.file)
	if err != nil || have >= size {
		return nil // no holes worth a system call, or nobody can tell
	}
	if free, err := sys.FreeSpace(f.file); err == nil && free < to-from-have {
		// It would fail after having filled the disk to the brim.
		return sys.ErrNoSpace
	}
	if err := sys.FillHoles(f.file, f.opts.Offset+from, to-from); !errors.Is(err, errors.ErrUnsupported) {
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
	if f.protection != f.access.mapping() {
		if err := m.Protect(f.protection); err != nil {
			_ = r.unmap()
			return nil, err
		}
	}
	return r, nil
}
