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
)

// A system call that reports whether a page is resident costs as much as a
// small copy. So a file remembers which pages it has lately seen to be
// resident, and trusts that for a while. A wrong hint costs a page fault and
// nothing else.
const (
	hintTick  = 100 * time.Millisecond // what the hints' clock counts
	hintTicks = 8                      // how many ticks a hint is valid for

	hintUnit  = 4 << 10              // bytes per bit: no page is smaller
	hintUnits = 16                   // bits per stamp
	hintBlock = hintUnits * hintUnit // bytes per stamp
	hintChunk = 1024                 // stamps per chunk, of 64 MiB of file
)

// hints record the pages of a window that were lately seen to be resident. Call
// start before use.
type hints struct {
	base  time.Time
	table atomic.Pointer[hintTable] // nil: nothing is known
	mu    sync.Mutex                // held while replacing table
}

// A hintTable has a stamp for each block of a window: the tick in which it was
// made, and a bit for each unit that was resident then. Blocks start at page
// boundaries, the first one skew bytes before the window.
type hintTable struct {
	size   int64 // of the window when the table was made
	skew   int64
	chunks []atomic.Pointer[[hintChunk]atomic.Uint64] // made when first written to
}

func (h *hints) start() { h.base = time.Now() }

// now returns the current tick, which is never 0.
func (h *hints) now() uint64 { return uint64(time.Since(h.base)/hintTick) + 1 }

// has reports whether all of [off, off+n), which lies in a window of the given
// size, was lately seen to be resident.
func (h *hints) has(off, n, size int64) bool {
	t := h.table.Load()
	if t == nil || size < t.size { // it has shrunk, and may have grown since
		return false
	}
	now := h.now()
	for at, end := off+t.skew, off+t.skew+n; at < end; {
		stamp, mask, next := t.find(at, end)
		if stamp == nil {
			return false
		}
		s := stamp.Load()
		if now-s>>hintUnits >= hintTicks || s&mask != mask {
			return false
		}
		at = next
	}
	return true
}

// find returns the stamp of the block that at lies in, the bits that [at, end)
// has there, and where the next block begins. at and end count from the start
// of the first block. The stamp is nil if the table has none.
func (t *hintTable) find(at, end int64) (stamp *atomic.Uint64, mask uint64, next int64) {
	block := at / hintBlock
	next = (block + 1) * hintBlock
	if i := block / hintChunk; i < int64(len(t.chunks)) {
		if c := t.chunks[i].Load(); c != nil {
			stamp = &c[block%hintChunk]
		}
	}
	first := uint(at % hintBlock / hintUnit)
	last := uint((min(end, next) - 1) % hintBlock / hintUnit)
	return stamp, (2<<last - 1) &^ (1<<first - 1), next
}

// set records that the bytes of p, a pin in a window of the given size, have
// just been seen to be resident.
func (h *hints) set(p *core.Pin, size int64) {
	n := min(p.Len(), size-p.Offset()) // the window may be about to shrink
	if n <= 0 {
		return
	}
	// Only the offset within a page is used, which is the same in memory and in
	// the file.
	addr := uintptr(unsafe.Pointer(unsafe.SliceData(p.Bytes())))
	skew := (int64(addr%hintUnit) - p.Offset()) & (hintUnit - 1)
	t := h.tableFor(size, skew)
	now := h.now()
	for at, end := p.Offset()+skew, p.Offset()+skew+n; at < end; {
		i := at / hintBlock / hintChunk
		if t.chunks[i].Load() == nil {
			t.chunks[i].CompareAndSwap(nil, new([hintChunk]atomic.Uint64))
		}
		stamp, mask, next := t.find(at, end)
		mark(stamp, now, mask)
		at = next
	}
}

// mark adds the units of mask to a stamp. Units seen in an earlier tick are
// dropped: carried over, they would never expire while their neighbors are
// seen.
func mark(stamp *atomic.Uint64, now, mask uint64) {
	for {
		old := stamp.Load()
		s := now<<hintUnits | mask
		switch tick := old >> hintUnits; {
		case tick > now:
			return
		case tick == now:
			s |= old
		}
		if s == old || stamp.CompareAndSwap(old, s) {
			return
		}
	}
}

// tableFor returns a table for a window of the given size. It makes one if
// there is none, or if the one there is was made for a window of another size.
func (h *hints) tableFor(size, skew int64) *hintTable {
	t := h.table.Load()
	if t != nil && t.size == size {
		return t
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	t = h.table.Load()
	if t != nil && t.size == size {
		return t
	}
	blocks := (size + skew + hintBlock - 1) / hintBlock
	grown := &hintTable{size: size, skew: skew}
	grown.chunks = make([]atomic.Pointer[[hintChunk]atomic.Uint64], (blocks+hintChunk-1)/hintChunk)
	if t != nil && t.size < size {
		for i := range t.chunks {
			grown.chunks[i].Store(t.chunks[i].Load())
		}
	}
	h.table.Store(grown)
	return grown
}

// drop removes all hints.
func (h *hints) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.table.Store(nil)
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
	pages, of, err := pin.Resident()
	if err != nil || pages < of {
		return false
	}
	f.hints.set(pin, f.core.Len())
	f.counters.probed.Add(1)
	return true
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
	Cold   uint64 `json:"cold"`   // not known to be resident: left to the pager

	Flush flush.Stats `json:"flush"`
}

// Stats returns a snapshot.
func (f *File) Stats() FileStats {
	return FileStats{
		Hinted: uint64(stripe.Sum(f.counters.hinted)),
		Probed: f.counters.probed.Load(),
		Cold:   f.counters.cold.Load(),
		Flush:  f.committer.Stats(),
	}
}

// counters count requests for pages. Hints are counted in stripes, since a
// request that a hint serves should not write to a cache line that other Ps
// write to.
type counters struct {
	probed, cold atomic.Uint64
	hinted       []stripe.Counter
}

func (c *counters) hint() { stripe.Of(c.hinted).Add(1) }
