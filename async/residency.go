package async

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/bounds"
	"github.com/fmmap-go/fmmap/internal/stripe"
	"github.com/fmmap-go/fmmap/latency"
)

// A system call that reports whether a page is resident costs as much as a
// small copy. So the process remembers which pages it has lately seen to be
// resident, and trusts that for a while. A wrong hint costs a page fault and
// nothing else.
const (
	hintTick  = 100 * time.Millisecond // what the hints' clock counts
	hintTicks = 8                      // how many ticks a hint is valid for

	hintUnit  = 4 << 10              // bytes per bit: no page is smaller
	hintUnits = 16                   // bits per stamp
	hintBlock = hintUnits * hintUnit // bytes per stamp

	hintStamps   = 1 << 16 // per generation
	hintChunk    = 512     // stamps that are allocated together
	hintTickBits = 3       // of a stamp: less than hintTicks
)

// A hintGeneration holds the stamps made in hintTicks ticks, for blocks of all
// files of the process. The generation before it is kept, as some of its stamps
// are valid still, and those before that are forgotten. So the memory follows
// what was asked for lately: at most 8 bytes per block of 64 KiB, and at most 512
// KiB in each of the two generations.
//
// A stamp has, from the low bits on, a bit for each unit that was resident, the
// tick in which it was made, and a tag that names file and block. It has two
// places, of which the first is the better filled: consecutive blocks and files
// are neighbors there. A third block that comes to one of them replaces the
// stamp, which costs a system call.
type hintGeneration struct {
	start  uint64 // tick of its first stamp
	older  atomic.Pointer[hintGeneration]
	chunks [hintStamps / hintChunk]atomic.Pointer[[hintChunk]atomic.Uint64] // made when first written to
}

var (
	hintBase  = time.Now() // of the hints' clock
	hintsNow  atomic.Pointer[hintGeneration]
	hintNames atomic.Uint64 // last name of hints
)

// hintNow returns the current tick.
func hintNow() uint64 { return uint64(time.Since(hintBase) / hintTick) }

// hints finds the stamps of one file. The zero value has none.
type hints struct {
	// name is a number of the process, in its low bits the skew: by how many
	// bytes the first block, which starts at a page boundary, lies before the
	// window. It is 0 before the first hint, and a new one drops those of the
	// last.
	name atomic.Uint64
	size atomic.Int64 // of the window at the last hint
	mu   sync.Mutex   // held while replacing name
}

// has reports whether all of [off, off+n), which lies in a window of the given
// size, was lately seen to be resident.
func (h *hints) has(off, n, size int64) bool {
	g := hintsNow.Load()
	if g == nil || size < h.size.Load() { // it has shrunk, and may have grown since
		return false
	}
	name := h.name.Load()
	if name == 0 {
		return false
	}
	skew := int64(name % hintUnit)
	first, last := (off+skew)/hintBlock, (off+skew+n-1)/hintBlock
	if last-first >= hintStamps {
		return false
	}
	now := hintNow()
	older := g.older.Load()
	for block := first; block <= last; block++ {
		mask := unitsOf(off+skew, off+skew+n, block)
		if !g.has(name, block, now, mask) && (older == nil || !older.has(name, block, now, mask)) {
			return false
		}
	}
	return true
}

// unitsOf returns the bits that [at, end) has in a block.
func unitsOf(at, end, block int64) uint64 {
	start := block * hintBlock
	first := uint((max(at, start) - start) / hintUnit)
	last := uint((min(end, start+hintBlock) - 1 - start) / hintUnit)
	return (2<<last - 1) &^ (1<<first - 1)
}

// has reports whether the units of mask were seen in the generation, and lately.
func (g *hintGeneration) has(name uint64, block int64, now, mask uint64) bool {
	tag, places := hintPlaces(name, block)
	for _, i := range places {
		c := g.chunks[i/hintChunk].Load()
		if c == nil {
			continue
		}
		s := c[i%hintChunk].Load()
		if s>>(hintUnits+hintTickBits) == tag && s&mask == mask {
			return now-(g.start+s>>hintUnits%hintTicks) < hintTicks
		}
	}
	return false
}

// hintPlaces returns the tag of a block's stamp, and where it may be.
func hintPlaces(name uint64, block int64) (tag uint64, places [2]uint64) {
	h := name * 0x9e3779b97f4a7c15
	x := (h ^ h>>32 ^ uint64(block)) * 0xd1b54a32d192ed03
	x ^= x >> 29
	x *= 0x9fb21c651e98df25
	places[0] = (name/hintUnit + uint64(block)) % hintStamps
	places[1] = (h>>40 + uint64(block)) % hintStamps
	return x >> (hintUnits + hintTickBits), places
}

// set records that the bytes of p, a pin in a window of the given size, have
// just been seen to be resident.
func (h *hints) set(p *core.Pin, size int64) {
	n := min(p.Len(), size-p.Offset()) // the window may be about to shrink
	if n <= 0 {
		return
	}
	h.record(p.Offset(), n, size, skewOf(p))
}

// skewOf returns the skew of the window of a pin, see hints.name.
func skewOf(p *core.Pin) int64 {
	// Only the offset within a page is used, which is the same in memory and in
	// the file.
	addr := uintptr(unsafe.Pointer(unsafe.SliceData(p.Bytes())))
	return (int64(addr%hintUnit) - p.Offset()) & (hintUnit - 1)
}

// record records that [off, off+n) has just been seen to be resident.
func (h *hints) record(off, n, size, skew int64) {
	name := h.nameFor(size, skew)
	first, last := (off+skew)/hintBlock, (off+skew+n-1)/hintBlock
	if last-first >= hintStamps { // it would replace its own stamps
		return
	}
	now := hintNow()
	g := currentHints(now)
	for block := first; block <= last; block++ {
		g.mark(name, block, now, unitsOf(off+skew, off+skew+n, block))
	}
}

// currentHints returns the generation for stamps made now.
func currentHints(now uint64) *hintGeneration {
	for {
		g := hintsNow.Load()
		if g != nil && now-g.start < hintTicks {
			return g
		}
		next := &hintGeneration{start: now}
		if g != nil && now-g.start < 2*hintTicks {
			next.older.Store(g)
		}
		if hintsNow.CompareAndSwap(g, next) && g != nil {
			g.older.Store(nil)
		}
	}
}

// mark adds the units of mask to the stamp of a block. Units seen in an earlier
// tick are dropped: carried over, they would never expire while their neighbors
// are seen.
func (g *hintGeneration) mark(name uint64, block int64, now, mask uint64) {
	tag, places := hintPlaces(name, block)
	made := tag<<hintTickBits | (now - g.start)
	for stamp := g.place(tag, places); ; {
		old := stamp.Load()
		s := made<<hintUnits | mask
		switch was := old >> hintUnits; {
		case was == made:
			s |= old
		case was>>hintTickBits == tag && was > made: // of a later tick
			return
		}
		if s == old || stamp.CompareAndSwap(old, s) {
			return
		}
	}
}

// place returns the place for the stamp with a tag: where it is, or the first
// place that is free, or else the first of all.
func (g *hintGeneration) place(tag uint64, places [2]uint64) *atomic.Uint64 {
	var stamps [2]*atomic.Uint64
	for i, at := range places {
		chunk := &g.chunks[at/hintChunk]
		if chunk.Load() == nil {
			chunk.CompareAndSwap(nil, new([hintChunk]atomic.Uint64))
		}
		stamps[i] = &chunk.Load()[at%hintChunk]
		if s := stamps[i].Load(); s == 0 || s>>(hintUnits+hintTickBits) == tag {
			return stamps[i]
		}
	}
	return stamps[0]
}

// nameFor returns the name for hints in a window of the given size: a new one if
// that has shrunk, so that what was known about it does not come back with
// growth.
func (h *hints) nameFor(size, skew int64) uint64 {
	if name := h.name.Load(); name != 0 && h.size.Load() == size && int64(name%hintUnit) == skew {
		return name
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	name := h.name.Load()
	if name == 0 || size < h.size.Load() || int64(name%hintUnit) != skew {
		name = hintNames.Add(1)*hintUnit + uint64(skew)
		h.name.Store(name) // before size, which has reads first
	}
	h.size.Store(size)
	return name
}

// drop removes all hints of the file.
func (h *hints) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.name.Store(0)
}

// resident reports whether the bytes of a pin are in memory, as far as is
// known.
func (f *File) resident(pin *core.Pin) bool {
	if f.hints.has(pin.Offset(), pin.Len(), f.core.Len()) {
		f.counters.hint()
		return true
	}
	return f.probe(pin)
}

// hinted reports whether [off, off+n) lies in the window and was lately seen to
// be resident.
func (f *File) hinted(off, n int64) bool {
	size := f.core.Len()
	return bounds.Within(off, n, size) && !f.closing.Load() && f.hints.has(off, n, size)
}

// maxProbe bounds what the caller probes, since mincore looks at every page.
const maxProbe = 1 << 30

// probe asks the system whether the bytes of a pin are resident. On Linux it
// does so by mincore. A preadv2 with RWF_NOWAIT takes half as long for one
// page, but if the page is absent the kernel starts to read its neighbours too,
// whatever advice the mapping was given. Package sys remembers where the system
// does not report residency, or masks it from this process: from then on probe
// makes no system call, and only hints are trusted.
func (f *File) probe(pin *core.Pin) bool {
	if pin.Len() > maxProbe {
		return false
	}
	resident, known := f.probeBlock(pin)
	if !known {
		if pages, of, err := pin.Resident(); err == nil && pages == of {
			f.hints.set(pin, f.core.Len())
			resident = true
		}
	}
	if !resident {
		return false
	}
	f.around.Load().ask(&f.pool.pagers, pin.Offset(), pin.Len(), f.core.Len())
	f.counters.probed.Add(1)
	return true
}

// blockSkips is how many probes are of the pages of a pin alone after one of
// their block has found a part of that missing.
const blockSkips = 15

// probeBlock asks what is resident of the block of the hints that the bytes of a
// pin lie in, which takes as long as to ask about one page, and saves the next
// probes there if it is all of it. If it is a part, whether the bytes of the pin
// are resident is not known, so that there have to be two probes. Where the order
// of accesses is random, a page says nothing of its neighbors.
func (f *File) probeBlock(pin *core.Pin) (resident, known bool) {
	if f.memoryOnly || f.core.Order() == core.AdviceRandom {
		return false, false
	}
	if f.skips.Load() > 0 {
		f.skips.Add(-1) // races may take it below zero
		return false, false
	}
	size, skew := f.core.Len(), skewOf(pin)
	block := (pin.Offset()+skew)&^(hintBlock-1) - skew
	off, end := max(block, 0), min(block+hintBlock, size)
	if pin.Len() == 0 || pin.Offset()+pin.Len() > end {
		return false, false
	}
	pages, of, err := f.core.Resident(off, end-off)
	switch {
	case err == nil && pages == of:
		f.hints.record(off, end-off, size, skew)
		return true, true
	case err == nil && pages == 0:
		return false, true
	}
	f.skips.Store(blockSkips)
	return false, false
}

// Advise tells the kernel how the bytes [off, off+n) of the window will be used,
// as [core.File.Advise] does, by the pager of the file's device: some advice
// waits for the disk. Advice that evicts pages should be given here and not to
// [File.Core], since the file then forgets that it has seen them.
func (f *File) Advise(ctx context.Context, a core.Advice, off, n int64) *Future[struct{}] {
	if !f.ref() {
		return failClosed[struct{}](f, opAdvise.String())
	}
	r, _ := f.pool.pagers.enter(f, off, 0)
	advise := func(context.Context) (struct{}, error) {
		defer f.hints.drop() // whatever the outcome
		return struct{}{}, f.core.Advise(a, off, n)
	}
	return dispatchOp(ctx, r.lane, opAdvise, &fileOp{file: f, request: r}, advise, nil)
}

// FileStats describe what a [File] has done. They are plain data, fit for
// expvar and JSON.
type FileStats struct {
	// How requests for pages were served, those of Load, TryLoad, PageIn,
	// ReadAt and WriteAt alike. The first two involved no other goroutine.
	Hinted uint64 `json:"hinted"` // resident: seen lately
	Probed uint64 `json:"probed"` // resident: reported by the system
	Cold   uint64 `json:"cold"`   // not known to be resident, or writable: left to another goroutine

	// PageIn counts the cold requests that brought pages in by how long that took,
	// from the call until all were resident: queueing, and the device. Those that
	// failed are not in it, nor are stores.
	PageIn latency.Histogram `json:"page_in"`

	// What was read around pages that a request waited for, see [File.PageIn]: the
	// bytes whose reading was started, and those of them in whose block of 64 KiB
	// another request has been since, which is at most as many.
	Around      uint64 `json:"around"`
	AroundAsked uint64 `json:"around_asked"`

	Flush flush.Stats `json:"flush"`
}

// Stats returns a snapshot.
func (f *File) Stats() FileStats {
	s := FileStats{Probed: f.counters.probed.Load(), Cold: f.counters.cold.Load()}
	if hinted := f.counters.hinted.Load(); hinted != nil {
		s.Hinted = uint64(stripe.Sum(*hinted))
	}
	if r := f.counters.pageIn.Load(); r != nil {
		s.PageIn = r.Histogram()
	}
	if c := f.committer.Load(); c != nil {
		s.Flush = c.Stats()
	}
	s.Around, s.AroundAsked = f.around.Load().stats()
	return s
}

// counters count requests for pages. Hints are counted in stripes, since a
// request that a hint serves should not write to a cache line that other Ps
// write to. Nothing was hinted while hinted is nil.
type counters struct {
	probed, cold atomic.Uint64
	hinted       atomic.Pointer[[]stripe.Counter]
	pageIn       atomic.Pointer[latency.Recorder] // nil until the first
}

// pagedIn counts a request that brought pages in after d.
func (c *counters) pagedIn(d time.Duration) {
	r := c.pageIn.Load()
	if r == nil {
		c.pageIn.CompareAndSwap(nil, new(latency.Recorder))
		r = c.pageIn.Load()
	}
	r.Add(d, 1)
}

// hint counts a request that a hint served.
func (c *counters) hint() {
	hinted := c.hinted.Load()
	if hinted == nil {
		made := stripe.Make[stripe.Counter]()
		c.hinted.CompareAndSwap(nil, &made)
		hinted = c.hinted.Load()
	}
	stripe.Of(*hinted).Add(1)
}
