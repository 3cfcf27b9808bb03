package core

import (
	"io/fs"
	"runtime/debug"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/internal/bounds"
)

// Pin is a range of the window whose bytes stay mapped, at one address, until
// Release, whatever happens to the file in between: growing, shrinking and closing included.
//
// A pin may be used and released by any goroutine. Its bytes are plain memory: goroutines that share them
// synchronise as for any slice, and nobody may use them after Release.
type Pin struct {
	file   *File
	region *region
	off    int64
	data   []byte
	seq    uint64 // of the generation that gave it

	list       *pinList
	prev, next *Pin        // in list, guarded by its mu
	released   atomic.Bool // set under the list's mu
}

// Pin pins n bytes of the window from off on. It answers [ErrRange] when
// they do not lie within the window, and [fs.ErrClosed] when the file is closed or closing.
//
// Every pin must be released: Close, and a Truncate that cuts pinned bytes off, wait for it.
func (f *File) Pin(off, n int64) (*Pin, error) { return f.pin("pin", off, n, false) }

// pin is Pin; for stores, it must not be had once a freeze has begun, which will not wait for it.
func (f *File) pin(op string, off, n int64, store bool) (*Pin, error) {
	i := myStripe()
	for {
		g, err := f.load()
		switch {
		case err != nil:
			return nil, f.fail(op, err)
		case !bounds.Within(off, n, int64(len(g.data))):
			return nil, f.fail(op, ErrRange)
		case store && g.readOnly:
			return nil, f.fail(op, ErrReadOnly)
		}
		p := &Pin{file: f, region: g.region, off: off, data: g.data[off : off+n : off+n], seq: g.seq}
		p.list = &g.region.pins[i&uint32(len(g.region.pins)-1)]
		// A change publishes its generation first and walks the lists afterwards, so
		// either it finds this pin or the pin finds the new generation.
		if p.link(f, g) {
			return p, nil
		}
	}
}

func (p *Pin) link(f *File, g *generation) bool {
	l := p.list
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.gen.Load() != g {
		return false
	}
	p.next = l.head
	if l.head != nil {
		l.head.prev = p
	}
	l.head = p
	return true
}

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
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		l.head = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	}
	p.prev, p.next = nil, nil
	l.mu.Unlock()
	if p.region.watched.Load() {
		p.file.settle()
	}
}

// Bytes returns the pinned bytes, nil after Release. Touching them directly is as fast as any
// memory and as dangerous as any mapping: a page that cannot be brought in
// kills the process. [Pin.Do] turns that into an error.
func (p *Pin) Bytes() []byte {
	if p.released.Load() {
		return nil
	}
	return p.data
}

// Offset is where in the window the pinned bytes start.
func (p *Pin) Offset() int64 { return p.off }

// Len is the number of pinned bytes.
func (p *Pin) Len() int64 { return int64(len(p.data)) }

// Do calls fn with the pinned bytes and returns its error. A fault on
// the pinned file's bytes during fn becomes a [*FaultError]; other panics pass through.
func (p *Pin) Do(fn func(b []byte) error) error { return p.do("pin", fn) }

func (p *Pin) do(op string, fn func(b []byte) error) (err error) {
	if p.released.Load() {
		return p.file.fail(op, fs.ErrClosed)
	}
	defer p.end(op, debug.SetPanicOnFault(true), &err)
	return fn(p.data)
}

func (p *Pin) end(op string, old bool, err *error) {
	v := recover()
	debug.SetPanicOnFault(old)
	if v == nil {
		return
	}
	fault, ours := p.region.explain(v)
	if !ours {
		panic(v)
	}
	*err = p.file.fail(op, fault)
}

// Populate brings the pinned bytes into memory within a system call, so that
// the P is given away meanwhile. A page that cannot be had answers [ErrFault].
func (p *Pin) Populate() error {
	if p.released.Load() {
		return p.file.fail("populate", fs.ErrClosed)
	}
	return p.file.populateIn(p.region, p.off, p.Len())
}

// Resident counts the pages of the pinned bytes that are in memory, and all of them.
// See [File.Resident].
func (p *Pin) Resident() (pages, of int64, err error) {
	if p.released.Load() {
		return 0, 0, p.file.fail("resident", fs.ErrClosed)
	}
	return p.file.residentIn(p.region, p.off, p.Len())
}

// Advise tells the kernel how the pinned bytes will be used. See [File.Advise].
func (p *Pin) Advise(a Advice) error {
	if p.released.Load() {
		return p.file.fail("advise", fs.ErrClosed)
	}
	return p.file.adviseIn(p.region, a, p.off, p.Len(), false)
}
