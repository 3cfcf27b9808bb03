package async

import (
	"sync"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/flush"
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
	s := FileStats{Probed: f.hits.probe.Load(), Cold: f.hits.cold.Load(), Flush: f.committer.Stats()}
	for i := range f.hits.hints {
		s.Hinted += f.hits.hints[i].n.Load()
	}
	return s
}

// hits count requests for pages. Those answered by a hint are the ones that must
// not share a line of memory with other cores.
type hits struct {
	probe, cold atomic.Uint64
	hints       [8]struct {
		_ [120]byte
		n atomic.Uint64
	}
}

func (h *hits) hint() {
	s := slots.Get().(*slot)
	h.hints[s.i].n.Add(1)
	slots.Put(s)
}

// A slot names a counter; each P keeps one in its part of the pool.
type slot struct{ i uint32 }

var (
	lastSlot atomic.Uint32
	slots    = sync.Pool{New: func() any { return &slot{lastSlot.Add(1) % 8} }}
)
