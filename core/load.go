package core

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sync/semaphore"

	"github.com/fmmap-go/fmmap/internal/seen"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// How copying reads reach a file.
//
// What was lately seen to be in memory (seen.go) is copied from the map. Anything
// else is read by system calls, in which the goroutine gives its P away while the
// device has not responded: a pread where that and the mapping are known to show
// the same bytes, and elsewhere a call that brings the pages in, and then the
// map. From then on it counts as seen.
//
//	first read ──▶ pread ──▶ map ──▶ … ──▶ map ──▶ (an epoch ends) ──▶ mincore ──▶ map ──▶ …
//	                                                                      └──▶ pread ──▶ …
//
// Where a block was seen in the last epoch, it probably is in memory still, so
// one mincore looks at all of it, if it works at all. Otherwise that would be a second
// system call in vain: a pread of what is in memory costs no more than asking.
//
// Preads of a few pages that are not in memory take turns (turn.go).
//
// A pread ends at the end of the file, wherever the window ends. What it leaves
// goes through the map, which shows zeros up to the end of the page and faults
// behind it, as it always has.
//
// Where a pread is refused, the map may still have the bytes: a file system that
// has shut down fails each pread, also of what is in memory, and a filter or a
// missing key concerns calls alone. So the rest is brought in, and copied from the
// map. Where that cannot be and the device has failed, the error of the pread
// becomes a *FaultError, as the fault would have.

// loadState is what is known of the reads of a file.
type loadState struct {
	way atomic.Uint32 // undecided, byMap, byCall or byPopulate

	// These are set once byCall is decided. The descriptor is open as long as an
	// operation or a pin is counted.
	fd   atomic.Uintptr
	turn atomic.Pointer[semaphore.Weighted] // of the reader that waits for the device
}

// byPopulate is the way of reads that bring pages in by system calls, and then
// copy from the map.
const byPopulate = byCall + 1

// readsMap reports whether all reads are from the map, as those of memory are.
func (f *File) readsMap() bool { return f.file == nil || f.device || f.opts.Reads == ViaMap }

// loadsBy returns the way of reads of what was not seen lately. It finds that out
// once.
func (f *File) loadsBy() uint32 {
	if way := f.loads.way.Load(); way != undecided {
		return way
	}
	way := uint32(byPopulate)
	if f.readsMap() {
		way = byMap
	} else if fd := f.Fd(); f.access != CopyOnWrite && sys.CanLoad(fd) {
		f.loads.fd.Store(fd)
		f.loads.turn.CompareAndSwap(nil, semaphore.NewWeighted(1))
		way = byCall
	}
	f.loads.way.Store(way)
	return way
}

// load copies the bytes at off of the window of g, within which they lie, into p.
// The caller has begun a use of g, and so is guarded.
func (f *File) load(op string, g *generation, p []byte, off int64) error {
	if g.seen.whole(off, int64(len(p))) {
		copy(p, g.data[off:])
		return nil
	}
	for f.loadsInChunks(g, p) {
		if err := f.loadSome(op, g, p[:chunk], off); err != nil {
			return err
		}
		p, off = p[chunk:], off+chunk
	}
	return f.loadSome(op, g, p, off)
}

// loadsInChunks reports whether p is to be loaded a chunk at a time, or what is
// brought in first might have been evicted before it is copied. A copy of the map
// into itself is made at once, as the two may overlap.
func (f *File) loadsInChunks(g *generation, p []byte) bool {
	return len(p) > chunk && f.loadsBy() == byPopulate && !g.region.owns(p)
}

// loadSome is load in one step.
func (f *File) loadSome(op string, g *generation, p []byte, off int64) error {
	n, err := f.loadUnseen(g, p, off)
	if err != nil {
		return f.fail(op, err)
	}
	copy(p[n:], g.data[off+int64(n):])
	return nil
}

// loadUnseen reads bytes at off of the window into p by system calls, if that is
// right, or brings them into memory if need be. It returns how many bytes it has
// read. The caller copies the others. Its error is a *FaultError.
func (f *File) loadUnseen(g *generation, p []byte, off int64) (n int, err error) {
	want := int64(len(p))
	way := f.loadsBy()
	if want == 0 || way == byMap || f.opts.Reads == ViaEither && g.seenNow(off, want) {
		return 0, nil
	}
	// A read into the mapping itself would meet bytes that it has stored, if they
	// overlap. A copy minds that.
	if way == byPopulate || g.region.owns(p) {
		// Of a range in which pages are lost, the copy from the map finds out where.
		if err := g.bringIn(off, want); sys.DiskError(err) {
			return 0, err
		}
		return 0, nil
	}
	around := f.Order() != AdviceRandom && !g.seen.key.Knows(off)
	n, err = f.loadByCall(g, p, off)
	if around && n > 0 {
		g.readAround(off)
	}
	g.seen.key.Mark(off, int64(n))
	if err == nil {
		return n, nil
	}
	fault := g.bringIn(off+int64(n), want-int64(n))
	if fault != nil && sys.DiskError(err) {
		fault = &FaultError{Offset: f.opts.Offset + off + int64(n), Err: err}
	}
	return n, fault
}

// owns reports whether p begins in the region.
func (r *region) owns(p []byte) bool {
	_, own := r.contains(uintptr(unsafe.Pointer(unsafe.SliceData(p))))
	return own
}

// readAround starts to read the block of the byte at off, as a page fault reads
// around, behind what the caller has waited for. The system takes no longer for a
// block that is in memory than for a few small copies.
func (g *generation) readAround(off int64) {
	from, to := g.seen.key.Block(off, int64(len(g.data)))
	_ = g.region.m.Advise(sys.WillNeed, g.region.delta+from, to-from)
}

// seenNow reports whether [off, off+n) of the window was lately seen to be in
// memory. It looks again at blocks of which something was seen before that.
func (g *generation) seenNow(off, n int64) bool {
	size := int64(len(g.data))
	for n > 0 {
		p, length := g.seen.key.Part(off, n)
		epoch := atomic.LoadUint32(&seen.Epoch)
		if !p.In(epoch) {
			if !p.AnyIn(epoch-2) || !sys.ResidentAtOnce() {
				return false
			}
			from, to := g.seen.key.Block(off, size)
			if pages, of, err := g.region.m.Resident(g.region.delta+from, to-from); err != nil || pages < of {
				return false
			}
			g.seen.key.Mark(from, to-from)
		}
		off, n = off+length, n-length
	}
	if from, to := g.seen.key.Block(off-1, size); g.seen.key.Seen(from, to-from) {
		g.lookWhole(off - 1)
	}
	return true
}

// lookWhole looks once in an epoch whether the section of the byte at off is in
// memory.
func (g *generation) lookWhole(off int64) {
	s := &g.seen
	if s.epoch != &seen.Epoch {
		return
	}
	i, length := off>>s.shift, int64(1)<<s.shift
	section := &s.sections[i%seenSections]
	last := section.Load()
	if length > maxSection || last&^1 == atomic.LoadUint32(&seen.Epoch) || !sys.ResidentAtOnce() {
		return
	}
	epoch := seen.TimedEpoch() // not sooner: it reads a clock
	if !section.CompareAndSwap(last, epoch+1) {
		return
	}
	n := min(length+seen.Unit, int64(len(g.data))-i*length)
	if pages, of, err := g.region.m.Resident(g.region.delta+i*length, n); err == nil && pages == of {
		section.CompareAndSwap(epoch+1, epoch)
	}
}

// forgetSeen forgets what was seen of [off, off+n), which is about to be evicted.
func (g *generation) forgetSeen(off, n int64) {
	g.seen.key.Forget(off, n)
	if g.seen.epoch == &seen.Epoch {
		for i := range g.seen.sections {
			g.seen.sections[i].Store(0)
		}
	}
}

// bringIn brings the pinned bytes into memory within system calls, unless they
// were lately seen there. What cannot be brought in the access meets.
func (p *Pin) bringIn() {
	f, n := p.file, p.Len()
	if f.readsMap() || f.opts.Reads == ViaEither && p.gen.seenNow(p.off, n) {
		return
	}
	_ = p.gen.bringIn(p.off, n)
}

// bringIn brings [off, off+n) of the window into memory within system calls. It
// returns the fault that a load would have met. Any other error leaves it to the
// load.
func (g *generation) bringIn(off, n int64) error {
	if fault, ok := g.populate(off, n).(*FaultError); ok {
		return fault
	}
	return nil
}
