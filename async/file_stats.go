package async

import (
	"sync/atomic"

	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/stripe"
)

// FileStats describe what a [File] has done. They are plain data, fit for expvar
// and JSON.
type FileStats struct {
	// How requests for pages were answered, those of Load, TryLoad, PageIn,
	// ReadAt and WriteAt alike. The first two took no hand-over.
	Hinted uint64 `json:"hinted"` // resident: seen lately
	Probed uint64 `json:"probed"` // resident: the system said so
	Cold   uint64 `json:"cold"`   // sent to the pager

	Flush flush.Stats `json:"flush"`
}

// Stats returns a snapshot.
func (f *File) Stats() FileStats {
	return FileStats{
		Hinted: uint64(stripe.Sum(f.hits.hints)),
		Probed: f.hits.probe.Load(),
		Cold:   f.hits.cold.Load(),
		Flush:  f.committer.Stats(),
	}
}

// hits count requests for pages. Hints are counted in stripes, since a request
// that a hint serves should not write to a cache line that other Ps write to.
type hits struct {
	probe, cold atomic.Uint64
	hints       []stripe.Counter
}

func (h *hits) hint() { stripe.Of(h.hints).Add(1) }
