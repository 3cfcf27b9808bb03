package core

import (
	"fmt"
	"io/fs"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/internal/bounds"
	"github.com/fmmap-go/fmmap/internal/stripe"
)

// Pin is a range of the window whose bytes stay mapped, at one address, until
// Release, whatever happens to the file in between: growing, shrinking and
// closing included.
//
// A pin may be used and released by any goroutine. Its bytes are plain memory:
// goroutines that share them synchronise as for any slice, and none may use
// them after Release. Bytes that another process has cut off fault, except
// those behind the new end within its last page, which read as zeros.
type Pin struct {
	file *File
	gen  *generation // that it was taken on
	off  int64
	data []byte

	list     *pinList
	index    int         // in list.pins, guarded by list.mu
	released atomic.Bool // set under list.mu

	track *pinTrack // nil: not tracked, see Track
}

// Pin pins n bytes of the window, starting at off. It returns [ErrRange] when
// they do not lie within the window, and [fs.ErrClosed] when the file is
// closed or closing.
//
// Every pin must be released: Close, and a Truncate that cuts pinned bytes
// off, wait for it.
func (f *File) Pin(off, n int64) (*Pin, error) { return f.pin("pin", off, n, false) }

// pin is Pin. A pin for stores is refused once a freeze has begun, since the
// freeze would not wait for it.
func (f *File) pin(op string, off, n int64, store bool) (*Pin, error) {
	for {
		g := f.gen.Load()
		switch {
		case g.closed:
			return nil, f.fail(op, fs.ErrClosed)
		case g.gate != nil:
			<-g.gate
			continue
		case !bounds.Within(off, n, int64(len(g.data))):
			return nil, f.fail(op, ErrRange)
		case store && g.readOnly:
			return nil, f.fail(op, ErrReadOnly)
		}
		l := stripe.Of(g.region.pins)
		p := &Pin{file: f, gen: g, off: off, data: g.data[off : off+n : off+n], list: l}
		t := tracking.Load()
		if t != nil {
			t.record(p, 1)
		}
		l.mu.Lock()
		if f.gen.Load() == g { // under mu, as the protocol demands
			l.add(p)
			l.mu.Unlock()
			if t != nil {
				p = t.handOut(p)
			}
			return p, nil
		}
		l.mu.Unlock()
		if p.track != nil {
			p.track.site.Drop()
		}
	}
}

// end returns the window's offset of the byte behind the pin.
func (p *Pin) end() int64 { return p.off + int64(len(p.data)) }

// Release ends the pin. Bytes that were handed out must not be used any more.
// Releasing again does nothing.
func (p *Pin) Release() {
	l := p.list
	l.mu.Lock()
	if p.released.Load() {
		l.mu.Unlock()
		return
	}
	p.released.Store(true)
	listed := p
	if p.track != nil {
		listed = p.track.end(p)
	}
	w := l.remove(listed)
	last := len(l.pins) == 0
	l.mu.Unlock()
	wake := w != nil && w.done()
	if wake || last && p.gen.region.retired.Load() {
		p.file.wakeChanges()
	}
}

// Slice pins n of the pinned bytes, starting at off within them, once more, for
// another owner: the two pins are released independently, in any order. It
// works as long as p is held, whatever the file does: while a change waits for
// p, and while the file is closing. A change that waits for p because of bytes
// that the new pin has as well waits for both. Slice(0, p.Len()) pins all of p a
// second time.
//
// It returns [ErrRange] for bytes outside p, and [fs.ErrClosed] when p has been
// released. The pin is counted with p, on the P that p was taken on.
func (p *Pin) Slice(off, n int64) (*Pin, error) {
	if !bounds.Within(off, n, p.Len()) {
		return nil, p.file.fail("slice", ErrRange)
	}
	part := &Pin{file: p.file, gen: p.gen, off: p.off + off, data: p.data[off : off+n : off+n], list: p.list}
	t := tracking.Load()
	if t != nil {
		t.record(part, 0)
	}
	p.list.mu.Lock()
	held := !p.released.Load()
	if held {
		p.list.addPart(part)
	}
	p.list.mu.Unlock()
	switch {
	case !held:
		if part.track != nil {
			part.track.site.Drop()
		}
		return nil, p.file.fail("slice", fs.ErrClosed)
	case t != nil:
		part = t.handOut(part)
	}
	return part, nil
}

// Extend pins n bytes of the window from the start of p, releases p, and
// returns the new pin. It reports whether the window has moved: then pointers
// into the old bytes are to be replaced by ones into the new. For a file that
// has grown:
//
//	pin, moved, err = pin.Extend(file.Len() - pin.Offset())
//
// n may be less than the length of p, too. If it fails, Extend returns p, which
// stays pinned, with the errors of [File.Pin], and [fs.ErrClosed] when p has
// been released.
func (p *Pin) Extend(n int64) (extended *Pin, moved bool, err error) {
	if p.released.Load() {
		return p, false, p.file.fail("extend", fs.ErrClosed)
	}
	extended, err = p.file.pin("extend", p.off, n, false)
	if err != nil {
		return p, false, err
	}
	// A region keeps its address while it is pinned, and p was until now.
	moved = extended.gen.region != p.gen.region
	p.Release()
	return extended, moved, nil
}

// Bytes returns the pinned bytes, nil after Release. Touching them directly is
// as fast as any memory and as dangerous as any mapping: a page that cannot be
// brought in kills the process. [Pin.Do] turns that into an error.
func (p *Pin) Bytes() []byte {
	if p.released.Load() {
		return nil
	}
	return p.data
}

// Offset returns the offset in the window at which the pinned bytes start.
func (p *Pin) Offset() int64 { return p.off }

// Len returns the number of pinned bytes.
func (p *Pin) Len() int64 { return int64(len(p.data)) }

// String returns the name of the file and the range of the window.
func (p *Pin) String() string {
	s := fmt.Sprintf("%s[%d:%d]", p.file.name, p.off, p.end())
	if p.released.Load() {
		s += " (released)"
	}
	return s
}

// Do calls fn with the pinned bytes and returns its error. A fault on the
// pinned file's bytes during fn becomes a [*FaultError], and other panics pass
// through. What cannot be caught is told at [File.View]. Pages that are not in
// memory are page faults, in which the goroutine holds its P: [Pin.Populate]
// brings them in first.
func (p *Pin) Do(fn func(b []byte) error) error {
	return p.lostBytes("pin", p.withGuard("pin", fn))
}

// withGuard calls fn with the pinned bytes under the guard.
func (p *Pin) withGuard(op string, fn func(b []byte) error) (err error) {
	if p.released.Load() {
		return p.file.fail(op, fs.ErrClosed)
	}
	u := p.begin()
	defer p.file.end(op, &u, &err)
	return fn(p.data)
}

// lostBytes is [File.lostBytes] for the pinned bytes.
func (p *Pin) lostBytes(op string, err error) error {
	if err == nil || p.released.Load() {
		return err
	}
	return p.file.lostBytes(op, p.gen.region, p.off, p.end(), err)
}

// Populate brings the pinned bytes into memory within a system call, so that
// the P is released meanwhile. It returns [ErrFault] for a page that cannot
// be brought in.
func (p *Pin) Populate() error {
	if p.released.Load() {
		return p.file.fail("populate", fs.ErrClosed)
	}
	return p.file.populateIn(p.gen, p.off, p.Len())
}

// Resident returns how many pages the pinned bytes lie in, and how many of
// these are in memory. See [File.Resident].
func (p *Pin) Resident() (pages, of int64, err error) {
	if p.released.Load() {
		return 0, 0, p.file.fail("resident", fs.ErrClosed)
	}
	return p.file.residentIn(p.gen, p.off, p.Len())
}

// Seen reports whether the pinned bytes were lately seen in memory. See [File.Seen].
func (p *Pin) Seen() bool { return !p.released.Load() && p.gen.seenLately(p.off, p.Len()) }

// Advise tells the kernel how the pinned bytes will be used. See
// [File.Advise].
func (p *Pin) Advise(a Advice) error {
	if p.released.Load() {
		return p.file.fail("advise", fs.ErrClosed)
	}
	return p.file.adviseIn(p.gen.region, a, p.off, p.Len(), false)
}
