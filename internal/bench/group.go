package main

import (
	"io"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// grouped is the group commit that one writes by hand: what comes while one
// group is made durable is the next one.
type grouped struct {
	write func(data []byte) error // makes a group durable; one call at a time

	mu    sync.Mutex // guards what follows
	busy  bool
	next  *group
	spare []byte // the buffer of the last group
}

type group struct {
	data []byte
	done chan struct{}
	err  error // read after done
}

func newGrouped(write func(data []byte) error) *grouped {
	return &grouped{write: write, next: newGroup(nil)}
}

func newGroup(spare []byte) *group { return &group{data: spare[:0], done: make(chan struct{})} }

func (g *grouped) append(rec []byte) error {
	g.mu.Lock()
	own := g.next
	own.data = append(own.data, rec...)
	leads := !g.busy
	g.busy = true
	g.mu.Unlock()
	if leads {
		if g.flush() {
			go g.rest() // ends when no group is waiting
		}
	}
	<-own.done
	return own.err
}

// flush makes the group durable that waits, and reports whether there is
// another one then.
func (g *grouped) flush() (more bool) {
	g.mu.Lock()
	now := g.next
	g.next = newGroup(g.spare)
	g.mu.Unlock()
	now.err = g.write(now.data)
	close(now.done)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.spare = now.data
	g.busy = len(g.next.data) > 0
	return g.busy
}

func (g *grouped) rest() {
	for g.flush() {
	}
}

// A ring is a preallocated file to which one appends, and from its beginning
// again when it is full, as in a segment that is used again.
type ring struct {
	file *os.File
	size int64
	end  int64 // where the next bytes go
}

// place returns where n bytes go.
func (r *ring) place(n int) int64 {
	if r.end+int64(n) > r.size {
		r.end = 0
	}
	off := r.end
	r.end += int64(n)
	return off
}

// append writes data and flushes the file.
func (r *ring) append(data []byte) error {
	if _, err := r.file.WriteAt(data, r.place(len(data))); err != nil {
		return err
	}
	return unix.Fdatasync(int(r.file.Fd()))
}

// A directRing appends to a file that was opened with O_DIRECT and O_DSYNC: by
// one write of whole blocks, of which the first may have been written before
// with fewer bytes.
type directRing struct {
	ring
	blocks []byte // aligned; begins with the part of the last block that is in use
	used   int    // bytes of that part
}

func newDirectRing(r ring) *directRing { return &directRing{ring: r, blocks: aligned(mib)} }

// aligned returns n bytes that begin at a multiple of the size of a page.
func aligned(n int) []byte {
	b := make([]byte, n+page)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (page - 1)
	return b[skip : skip+n]
}

func (d *directRing) append(data []byte) error {
	if len(data) > len(d.blocks)-page {
		return io.ErrShortBuffer
	}
	off := d.place(len(data))
	if off == 0 {
		d.used = 0
	}
	until := d.used + copy(d.blocks[d.used:], data)
	whole := (until + page - 1) &^ (page - 1)
	clear(d.blocks[until:whole])
	if _, err := d.file.WriteAt(d.blocks[:whole], off-int64(d.used)); err != nil {
		return err
	}
	last := until &^ (page - 1)
	d.used = copy(d.blocks, d.blocks[last:until])
	return nil
}
