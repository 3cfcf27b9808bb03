package core

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/lock"
)

// Open maps an existing file for reading, whole, under a shared lock.
func Open(name string) (*File, error) { return OpenFile(name, Options{}) }

// Create maps a file of size bytes for reading and writing, under an exclusive
// lock. An existing file is emptied first; an absent one is created with mode
// 0o644 before umask.
func Create(name string, size int64) (*File, error) {
	return OpenFile(name, Options{Access: ReadWrite, Create: true, Truncate: true, Size: size})
}

// OpenFile opens and maps a file as the options say. When it fails, an existing
// file is as it was and an absent one is absent again, with one exception:
// Truncate empties the file before new blocks are allocated and mapped, which
// may fail.
//
// A file that is locked returns [lock.ErrLocked] at once, and
// [lock.ErrLockedHere] when a Lock of this process holds it, unless
// [Options].Wait is set. A name that is not
// a regular file, and a file that cannot be mapped (in /proc and /sys, or on a
// FUSE file system that bypasses the page cache), return
// [errors.ErrUnsupported].
//
// An open File has one descriptor. Except on Linux, and where /proc is missing,
// it has a second one, of the directory, with [Options].RemoveOnClose, and from
// its creation until the first Flush. Where the process may have no more of
// them, it does without. On Linux the directory is opened for a moment when it
// is needed, by its name or the one it has been renamed to, and is compared with
// the one that the file was opened in.
func OpenFile(name string, o Options) (*File, error) {
	return OpenFileContext(context.Background(), name, o)
}

// OpenFileContext is like [OpenFile], except that it fails with an error that
// wraps [context.Cause] when ctx is done before the file is open. What was made
// until then is taken back as after any other error: a file that this call has
// created is removed, one that it has made longer has its old length again, and
// the lock is released. The system calls themselves are not interrupted.
func OpenFileContext(ctx context.Context, name string, o Options) (*File, error) {
	p, err := openerOf(ctx, name, o)
	if err != nil {
		return nil, err
	}
	return p.run(ctx)
}

// openerOf returns the opener of valid options.
func openerOf(ctx context.Context, name string, o Options) (*opener, error) {
	err := o.check(named)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if o.Perm == 0 {
		o.Perm = defaultPerm
	}
	return &opener{what: "open", name: name, o: o}, pathError("open", name, err)
}

// newFile makes a File of one that has been opened and locked, and closes that
// if it cannot.
func newFile(ctx context.Context, what, name string, op opening, o Options) (*File, error) {
	f := &File{name: name, file: op.file, access: o.Access, opts: o, protection: o.Access.mapping(), lock: op.lock}
	f.unit, f.device, f.deviceSize = op.unit, op.device, op.size
	f.dir.nameless = op.nameless
	f.dir.remember(name, op.dir, op.created, o.RemoveOnClose)
	if err := f.setUp(ctx, op.size); err != nil {
		op.undo(name)
		_ = f.dir.close()
		return nil, pathError(what, name, err)
	}
	f.dir.letGo(f.file)
	f.trackOpen(1)
	return f, nil
}

// setUp gives the opened file, which has oldSize bytes, its length and its
// mapping, unless ctx is done by then.
func (f *File) setUp(ctx context.Context, oldSize int64) error {
	size := oldSize
	if f.opts.Truncate {
		size = 0
	}
	if final := max(size, f.opts.Size); !f.opts.fits(final) {
		return fmt.Errorf("Offset %d and Length %d do not lie within the %d bytes of the file: %w",
			f.opts.Offset, f.opts.Length, final, ErrRange)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// Here the last check has passed; from here on the file may change.
	if f.opts.Truncate && oldSize > 0 {
		if err := empty(f.file, oldSize, f.opts.Size); err != nil {
			return err
		}
	}
	if f.opts.Size <= size {
		return f.mapFirst(ctx, size)
	}
	if err := f.extendFile(size, f.opts.Size); err != nil {
		return err
	}
	if err := f.mapFirst(ctx, f.opts.Size); err != nil {
		_ = sys.Truncate(f.file, size)
		return err
	}
	return nil
}

// empty sets the length to 0, unless the file cannot have the size that it is to
// get next.
func empty(f *os.File, oldSize, next int64) error {
	if next > oldSize {
		if err := sys.Truncate(f, next); err != nil {
			return err
		}
	}
	err := sys.Truncate(f, 0)
	if err != nil && next > oldSize {
		_ = sys.Truncate(f, oldSize)
	}
	return err
}

// mapFirst maps the window of a file of the given size. On an error the file has
// no blocks that it did not have before.
func (f *File) mapFirst(ctx context.Context, size int64) (err error) {
	n := f.opts.window(size)
	filled, err := f.fillHoles(0, n, size)
	defer func() {
		if err != nil {
			f.giveBack(filled)
		}
	}()
	if err != nil {
		return err
	}
	r, err := f.mapRegion(n, f.room(n))
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
	if f.opts.Populate && n > 0 {
		f.gen.Load().seen.key.Mark(0, n)
	}
	return nil
}

// opening is a file that has been opened, and locked unless NoLock is set.
type opening struct {
	file    *os.File
	info    fs.FileInfo // of file, before it was locked
	dir     *sys.Dir    // the file was created in it; nil if not, or if it cannot be opened
	created bool        // by this call
	lock    *lock.Lock  // held; nil with NoLock
	refused bool        // the lock was, at first: others may have used the file since it was created
	size    int64       // as it was once the lock was held
	unit    int64       // of mappings of the file; see sys.GranularityOf

	device   bool // no regular file: its size is fixed
	nameless bool // no name is known
}

// An opener opens and locks a file and makes a File of it. The name may come to
// mean another file before the lock is held. Then the lock would guard a file
// that no other process finds, so the opener starts again until both agree.
type opener struct {
	what, name string
	file       *os.File // that Map was given; nil: the name is opened
	o          Options
	retry      retry
}

// run opens the file. With Wait it waits for the lock.
func (p *opener) run(ctx context.Context) (*File, error) {
	for {
		op, err := p.open()
		if err != nil {
			return nil, err
		}
		err = op.tryLock(p.o)
		if op.refused && p.o.Wait {
			err = op.lock.Acquire(ctx, p.o.lockMode())
		}
		f, err := p.locked(ctx, op, err)
		if f != nil || err != nil {
			return f, err
		}
	}
}

// open opens the file, or duplicates the one that Map was given.
func (p *opener) open() (op opening, err error) {
	if p.file == nil {
		op, err = openRegular(p.name, p.o)
	} else {
		op, err = adopt(p.file, p.o)
	}
	return op, pathError(p.what, p.name, err)
}

// locked makes a File of what has been opened, and locked unless err is the
// reason why not. It returns neither a File nor an error when the name means
// another file now, which is to be opened.
func (p *opener) locked(ctx context.Context, op opening, err error) (*File, error) {
	same := false
	if err == nil {
		same, err = op.measure(p)
	} else {
		err = lockRefused(ctx, err)
	}
	if err == nil && same {
		return newFile(ctx, p.what, p.name, op, p.o)
	}
	op.undo(p.name)
	op.closeDir()
	switch {
	case err != nil:
	case p.o.Exclusive && op.created && !op.refused: // the new file was replaced: the name is taken
		err = fs.ErrExist
	case op.refused: // the holder has replaced the file, as holders do
		p.retry = retry{}
	default:
		err = p.retry.pause(ctx)
	}
	return nil, pathError(p.what, p.name, err)
}

// measure notes the size of the file, now that the lock is held, and reports
// whether the name still means the file.
func (op *opening) measure(p *opener) (same bool, err error) {
	switch {
	case op.device:
		op.size, err = sizeOfDevice(op.file, p.o)
		return true, err
	case p.o.NoLock:
		op.size = op.info.Size()
		return true, nil
	case p.file != nil:
		now, err := op.file.Stat() // another process may have changed it before the lock was held
		if err == nil {
			op.size = now.Size()
		}
		return true, err
	}
	now, err := os.Stat(p.name)
	if err != nil || !os.SameFile(op.info, now) {
		return false, nil
	}
	op.size = now.Size()
	return true, nil
}

// undo releases the lock and closes the file. One that this call has created it
// first removes, unless another process held the lock meanwhile, and so uses the
// file or has used it.
func (op *opening) undo(name string) {
	if op.created && !op.refused {
		takeBack(name, op.dir, op.file)
	}
	if op.lock != nil {
		_ = op.lock.Release()
	}
	op.file.Close()
}

func (op *opening) closeDir() {
	if op.dir != nil {
		_ = op.dir.Close()
	}
}

// openPatience is how long a name may be found to mean another file than the one
// just opened. A process that replaces the file now and then does not keep this
// up, even in step with the tries; some Flags open what has no name.
const openPatience = 5 * time.Second

// A retry pauses between tries, for random times that grow. The zero retry is
// ready for use.
type retry struct {
	since time.Time     // the first pause
	most  time.Duration // of the next pause
}

// pause returns an error when there is no other try.
func (r *retry) pause(ctx context.Context) error {
	if r.most == 0 {
		*r = retry{since: time.Now(), most: 50 * time.Microsecond}
	}
	if time.Since(r.since) > openPatience {
		return errUnsteady
	}
	t := time.NewTimer(rand.N(r.most))
	defer t.Stop()
	r.most = min(2*r.most, 20*time.Millisecond)
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// openRegular opens the file, or creates it as the options say, and finds out
// that it is a regular one.
func openRegular(name string, o Options) (opening, error) {
	op, err := openOrCreate(name, o)
	if err != nil {
		return op, err
	}
	if op.info, err = op.file.Stat(); err == nil && !op.info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		op.undo(name)
		op.closeDir()
		return op, err
	}
	op.unit = sys.GranularityOf(op.file, op.info)
	return op, nil
}

// tryLock takes the lock, unless NoLock is set.
func (op *opening) tryLock(o Options) error {
	if o.NoLock {
		return nil
	}
	op.lock = lock.NewKnown(op.file, op.info)
	err := op.lock.Try(o.lockMode())
	op.refused = errors.Is(err, lock.ErrLocked)
	return err
}

// lockRefused adds to the error of the lock what was asked for, or which option
// opens the file all the same.
func lockRefused(ctx context.Context, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) {
		return fmt.Errorf("waiting for the lock: %w", err)
	}
	return fmt.Errorf("lock: %w (Options.Wait waits, Options.NoLock opens without it)", err)
}

// openOrCreate opens the file, or creates it as the options say.
func openOrCreate(name string, o Options) (opening, error) {
	flags := o.Flags | sys.OpenNonblock // a pipe without a writer must not block the caller
	if o.Access == ReadWrite {
		flags |= os.O_RDWR
	}
	for {
		if !o.Exclusive {
			f, err := sys.OpenFile(name, flags, 0)
			if err == nil {
				return opening{file: f}, nil
			}
			if !o.Create || !errors.Is(err, fs.ErrNotExist) {
				return opening{}, notRegular(name, err)
			}
		}
		op, err := create(name, flags, o)
		if err == nil || o.Exclusive || !errors.Is(err, fs.ErrExist) {
			return op, err
		}
		// Another process has made it just now, unless the name is a symbolic
		// link that leads nowhere: then this loop would never end.
		if fi, lerr := os.Lstat(name); lerr == nil && fi.Mode()&fs.ModeSymlink != 0 {
			if _, serr := os.Stat(name); errors.Is(serr, fs.ErrNotExist) {
				return opening{}, err
			}
		}
	}
}

// create makes the file through one descriptor of its directory, in which it can
// be found again whatever the name of the directory means by then. Where the
// directory cannot be opened (the process may have no descriptor left) the
// system looks the name up.
func create(name string, flags int, o Options) (opening, error) {
	dirName, base := splitName(name)
	if sys.MapsFiles && filepath.IsLocal(base) && base != "." && !os.IsPathSeparator(name[len(name)-1]) {
		if dir, err := sys.OpenDir(dirName); err == nil {
			f, err := dir.Create(base, o.Flags, o.Perm, name)
			if err == nil {
				return opening{file: f, dir: dir, created: true}, nil
			}
			_ = dir.Close()
			if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
				return opening{}, err
			}
			// Perhaps the directory has taken the last descriptor.
		}
	}
	f, err := sys.OpenFile(name, flags|os.O_CREATE|os.O_EXCL, o.Perm)
	return opening{file: f, created: err == nil}, err
}

// notRegular returns the error of an opening, or what explains it: directories,
// sockets and devices refuse to be opened in various ways.
func notRegular(name string, err error) error {
	fi, serr := os.Stat(name)
	if serr == nil && (fi.IsDir() || !fi.Mode().IsRegular() && !errors.Is(err, fs.ErrPermission)) {
		return errNotRegular
	}
	return err
}

// mapRegion maps the window's n bytes into room bytes of address space.
func (f *File) mapRegion(n, room int64) (*region, error) {
	r := newRegion()
	r.delta = f.opts.Offset % f.unit
	r.offset = f.opts.Offset - r.delta
	reserve := r.delta + min(room, maxAddress-r.delta)
	o := sys.MapOptions{
		Access: f.access.mapping(), Offset: r.offset, Len: r.delta + n, Reserve: reserve,
		Unit: f.unit, Huge: f.opts.HugePages,
	}
	if n == 0 && (!sys.CanReserve || reserve == 0) {
		return r, f.checkMappable(o) // nothing to map until the file grows
	}
	m, err := sys.Map(f.file, o)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return nil, errUnmappable
	case err != nil && n == 0:
		return r, nil
	case err != nil:
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

// checkMappable maps a page and unmaps it, to find out whether an empty file is
// of a kind that can be mapped. Systems that map no empty file cannot tell.
func (f *File) checkMappable(o sys.MapOptions) error {
	if sys.ShrinkNeedsUnmap {
		return nil
	}
	o.Len, o.Reserve, o.Huge = o.Len+1, 0, false
	m, err := sys.Map(f.file, o)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return errUnmappable
	case err != nil:
		return nil
	}
	return m.Unmap()
}
