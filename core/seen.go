package core

import (
	"math/bits"
	"sync/atomic"

	"github.com/fmmap-go/fmmap/internal/seen"
)

// What was lately seen to be in memory, of the window of one generation.
//
// A generation has the sections of its window that were seen whole, which is a
// comparison of two words next to what a read uses anyway. What lies in no such
// section is looked up in the table of package seen. A read that touches one more
// page of memory than it did takes half as long again where it is the table of
// addresses that the processor waits for, as it is for reads of a few bytes all
// over a large file.
const (
	seenSections = 128      // of a window
	maxSection   = 32 << 20 // bytes, of which the system is asked at once
	seenFirst    = 4        // blocks for a window that is empty yet
)

// seenState is what was lately seen of the window of a generation.
type seenState struct {
	key   seen.Key
	shift uint8   // of the length of a section
	epoch *uint32 // &seen.Epoch, or mapAlone where all is copied from the map
	// sections have the epoch in which they were seen whole, with a unit behind
	// them, or, plus 1, looked at in vain.
	sections [seenSections]atomic.Uint32
	blocks   int64 // that the key has for itself in the table
}

// mapAlone is what the sections of a window have that is always copied from the map.
var mapAlone uint32 = 0

// init prepares s for a window of n bytes, where before is what was seen of the
// window before it had that length, or nil.
func (s *seenState) init(before *seenState, skew, n int64, shorter, inMap bool) {
	need := seen.Blocks(skew, n)
	switch {
	case before == nil:
		if s.blocks = need; n == 0 {
			s.blocks = seenFirst
		}
		s.key = seen.NewKey(skew, s.blocks)
	case need > before.blocks: // twice as many at least, so that a growing file seldom forgets
		s.blocks = max(need, min(2*before.blocks, seen.MostBlocks))
		s.key = seen.NewKey(skew, s.blocks)
	default:
		s.key, s.blocks = before.key, before.blocks
		if shorter { // what is cut off may come back as something else
			s.key = s.key.Renamed()
		}
	}
	if inMap {
		s.shift, s.epoch = 63, &mapAlone
		return
	}
	s.shift, s.epoch = uint8(bits.Len64(uint64(max(n, seen.Block*seenSections)-1)/seenSections)), &seen.Epoch
}

// whole reports whether n bytes at off of the window are to be copied from the map
// without more ado: if they are few, and lie in a section that was lately seen whole,
// or behind it.
func (s *seenState) whole(off, n int64) bool {
	return s.sections[uint64(off)>>(s.shift&63)%seenSections].Load() == atomic.LoadUint32(s.epoch) && n <= seen.Unit
}

// seenLately reports whether all of [off, off+n) of the window was lately seen to be in
// memory.
func (g *generation) seenLately(off, n int64) bool {
	s := &g.seen
	return g.region.m == nil || s.epoch == &seen.Epoch && s.whole(off, n) || s.key.Seen(off, n)
}
