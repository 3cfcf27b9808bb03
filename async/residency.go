package async

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/stripe"
	"github.com/fmmap-go/fmmap/latency"
)

// A system call that reports whether a page is in memory costs as much as a small
// copy. Package core remembers what was seen there within the last 0.8 s, by
// whatever way, and that is trusted: where it is wrong, it costs a page fault.

// resident reports whether the bytes of a pin are in memory, as far as is
// known.
func (f *File) resident(pin *core.Pin) bool {
	if pin.Seen() {
		f.counters.countSeen()
		return true
	}
	return f.probe(pin)
}

// seen reports whether [off, off+n) lies in the window and was lately seen to
// be resident.
func (f *File) seen(off, n int64) bool { return !f.closing.Load() && f.core.Seen(off, n) }

// maxProbe bounds what the caller probes, since mincore looks at every page.
const maxProbe = 1 << 30

// probe asks the system whether the bytes of a pin are resident. On Linux it
// does so by mincore. A preadv2 with RWF_NOWAIT takes half as long for one
// page, but if the page is absent the kernel starts to read its neighbours too,
// whatever advice the mapping was given. Package sys remembers where the system
// does not report residency, or masks it from this process: from then on probe
// makes no system call, and only what was seen is trusted.
func (f *File) probe(pin *core.Pin) bool {
	if pin.Len() > maxProbe {
		return false
	}
	resident, known := f.probeAround(pin)
	if !known {
		pages, of, err := pin.Resident()
		resident = err == nil && pages == of
	}
	if !resident {
		return false
	}
	f.around.Load().ask(&f.pool.pagers, pin.Offset(), pin.Len(), f.core.Len())
	f.counters.probed.Add(1)
	return true
}

// probeBlock is how many bytes are asked about at once.
const probeBlock = 64 << 10

// blockSkips is how many probes are of the pages of a pin alone after one of
// their block has found a part of that missing.
const blockSkips = 15

// probeAround asks what is resident of the aligned block that the bytes of a pin
// lie in, which takes as long as to ask about one page, and saves the next probes
// there if it is all of it. If it is a part, whether the bytes of the pin
// are resident is not known, so that there have to be two probes. Where the order
// of accesses is random, a page says nothing of its neighbors.
func (f *File) probeAround(pin *core.Pin) (resident, known bool) {
	if f.memoryOnly || f.core.Order() == core.AdviceRandom {
		return false, false
	}
	if f.skips.Load() > 0 {
		f.skips.Add(-1) // races may take it below zero
		return false, false
	}
	off := pin.Offset() &^ (probeBlock - 1)
	end := min(off+probeBlock, f.core.Len())
	if pin.Len() == 0 || pin.Offset()+pin.Len() > end {
		return false, false
	}
	pages, of, err := f.core.Resident(off, end-off)
	switch {
	case err == nil && pages == of:
		return true, true
	case err == nil && pages == 0:
		return false, true
	}
	f.skips.Store(blockSkips)
	return false, false
}

// Advise tells the kernel how the bytes [off, off+n) of the window will be used,
// as [core.File.Advise] does, by the pager of the file's device: some advice
// waits for the disk.
func (f *File) Advise(ctx context.Context, a core.Advice, off, n int64) *Future[struct{}] {
	if !f.ref() {
		return failClosed[struct{}](f, opAdvise.String())
	}
	r, _ := f.pool.pagers.enter(f, off, 0)
	advise := func(context.Context) (struct{}, error) { return struct{}{}, f.core.Advise(a, off, n) }
	return dispatchOp(ctx, r.lane, opAdvise, &fileOp{file: f, request: r}, advise, nil)
}

// FileStats describe what a [File] has done. They are plain data, fit for
// expvar and JSON.
type FileStats struct {
	// How requests for pages were served, those of Load, TryLoad, PageIn,
	// ReadAt and WriteAt alike. The first two involved no other goroutine.
	Seen   uint64 `json:"seen"`   // resident: seen lately
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
	if seen := f.counters.seen.Load(); seen != nil {
		s.Seen = uint64(stripe.Sum(*seen))
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

// counters count requests for pages. Those for pages that were seen are counted in
// stripes, since they should not write to a cache line that other Ps write to. There
// were none while seen is nil.
type counters struct {
	probed, cold atomic.Uint64
	seen         atomic.Pointer[[]stripe.Counter]
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

// countSeen counts a request for pages that were seen.
func (c *counters) countSeen() {
	seen := c.seen.Load()
	if seen == nil {
		made := stripe.Make[stripe.Counter]()
		c.seen.CompareAndSwap(nil, &made)
		seen = c.seen.Load()
	}
	stripe.Of(*seen).Add(1)
}
