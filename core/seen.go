package core

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// What was lately seen to be in memory.
//
// A load from the map costs nothing where the page is in memory, and elsewhere it
// is a page fault in which the goroutine holds its P until the device has
// responded. Whether a page is in memory only a system call can find out, which
// costs as much as a small copy. So the process remembers which pages it has
// lately seen there, in one table for all files, and trusts that for a while. A
// page that is forgotten too early costs a system call, and one that is trusted
// too long a page fault.
//
// It does so in two steps. A generation has the sections of its window that were
// seen whole, which is a comparison of two words next to what a read uses anyway.
// A read that touches one more page of memory than it did takes half as long
// again where it is the table of addresses that the processor waits for, as it is
// for reads of a few bytes all over a large file.
//
// What lies in no such section is looked up in one table for all files. It has a
// word for each block of 128 KiB, at a place that follows from the block alone; a
// block that comes to a taken place replaces what is there. The low half of a word
// has a bit for each unit of the block that was seen. The high half names the file,
// the block and the epoch in which the units were seen; those of an earlier epoch
// do not count. The table has 1 MiB. What nothing was ever stored to takes no memory.
//
// An epoch ends seenTime after something was first seen in it, by a timer: to read
// a clock would take longer than all else that a lookup does. What records that
// something was seen has made a system call, and does read one.
const (
	seenUnit  = 4 << 10              // bytes per bit: no page is smaller
	seenUnits = 32                   // bits per word
	seenBlock = seenUnit * seenUnits // bytes per word
	seenWords = 1 << 17
	seenFirst = 4 // words for a window that is empty yet

	seenTime  = 800 * time.Millisecond
	lostTimer = int64(2 * seenTime) // after which a timer that has not run never will

	seenSections = 128      // of a window
	maxSection   = 32 << 20 // bytes, of which the system is asked at once
)

var (
	seenTable [seenWords]atomic.Uint64
	seenPlace atomic.Uint64 // where the blocks of the next window begin
	seenTimer atomic.Int64  // is running since that time (Unix, in nanoseconds); 0 if not
	// seenEpoch is the current epoch: even, and not 0. It has a value from the
	// beginning so that it lies among variables that are used all the time.
	seenEpoch uint32 = 2
)

// highHalf returns what the words of an epoch have in their high half on top of
// the name of the block.
func highHalf(epoch uint32) uint64 { return uint64(epoch*0x9e3779b9) << seenUnits }

// A seenKey names what has been seen of a window. Added to an offset in the window
// it has, from the low bits on, the offset in a block, the place of the block in
// the table, and a random number.
type seenKey uint64

// newSeenKey returns a key for a window that begins skew bytes behind a unit. Its
// place is behind the blocks of the window before it, so that files which are used
// side by side do not replace each other's words before the table is full.
func newSeenKey(skew, blocks int64) seenKey {
	place := seenPlace.Add(uint64(blocks)) - uint64(blocks)
	return seenKey(place%seenWords*seenBlock + uint64(skew)).renamed()
}

// renamed returns a key with the place of k, of which nothing has been seen.
func (k seenKey) renamed() seenKey {
	const places = seenWords * seenBlock
	return seenKey(rand.Uint64()/places*places) + k%places
}

// seenBlocks returns how many blocks of the table a window of n bytes needs.
func seenBlocks(skew, n int64) int64 {
	return min((skew+min(n, seenWords*seenBlock)+seenBlock-1)/seenBlock, seenWords)
}

// A seenPart is what a range of bytes has in one block.
type seenPart struct {
	word  *atomic.Uint64
	name  uint64 // of the block, as in the high half of its word, without the epoch
	units uint64 // of the range in the block
}

// part returns what [off, off+n) has in the block of its first byte, and how many
// bytes that are.
func (k seenKey) part(off, n int64) (seenPart, int64) {
	from := uint64(k) + uint64(off)
	n = min(n, seenBlock-int64(from%seenBlock))
	at, to := from/seenBlock, from+uint64(n)-1
	return seenPart{
		word:  &seenTable[at%seenWords],
		name:  at / seenWords << seenUnits,
		units: 2<<(to/seenUnit%seenUnits) - 1<<(from/seenUnit%seenUnits),
	}, n
}

// block returns the bytes that a window of size bytes has in the block of the byte
// at off.
func (k seenKey) block(off, size int64) (from, to int64) {
	from = off - int64((uint64(k)+uint64(off))%seenBlock)
	return max(from, 0), min(from+seenBlock, size)
}

// in reports whether all units of the part were seen in an epoch, or any if its
// units are none.
func (p seenPart) in(epoch uint32) bool {
	w := p.word.Load()
	return (w^(p.name+highHalf(epoch)))>>seenUnits == 0 && w&p.units == p.units
}

// knows reports whether something of the block of the byte at off was seen in this
// epoch or the one before it.
func (k seenKey) knows(off int64) bool {
	p, _ := k.part(off, 1)
	p.units = 0
	epoch := atomic.LoadUint32(&seenEpoch)
	return p.in(epoch) || p.in(epoch-2)
}

// seen reports whether all of [off, off+n) was lately seen to be in memory.
func (k seenKey) seen(off, n int64) bool {
	epoch := atomic.LoadUint32(&seenEpoch)
	for n > 0 {
		p, length := k.part(off, n)
		if !p.in(epoch) {
			return false
		}
		off, n = off+length, n-length
	}
	return true
}

// mark records that all of [off, off+n) has just been seen to be in memory.
func (k seenKey) mark(off, n int64) {
	if n > seenWords*seenBlock { // it would replace its own words
		return
	}
	epoch := timedEpoch()
	for n > 0 {
		p, length := k.part(off, n)
		made := p.name + highHalf(epoch)
		for {
			old := p.word.Load()
			w := made | p.units
			if (old^w)>>seenUnits == 0 {
				w |= old
			}
			if w == old || p.word.CompareAndSwap(old, w) {
				break
			}
		}
		off, n = off+length, n-length
	}
}

// forget forgets what was seen of [off, off+n).
func (k seenKey) forget(off, n int64) {
	for n = min(n, seenWords*seenBlock); n > 0; {
		p, length := k.part(off, n)
		p.units = 0
		if p.in(atomic.LoadUint32(&seenEpoch)) {
			p.word.Store(0)
		}
		off, n = off+length, n-length
	}
}

// timedEpoch returns the current epoch, to record something in it.
func timedEpoch() uint32 {
	// The epoch is read before the timer is looked at, and the timer says that it
	// has run before it ends the epoch: so what is recorded in an epoch has a
	// timer that ends it.
	epoch := atomic.LoadUint32(&seenEpoch)
	// A timer that is long overdue does not run: it was started in a bubble of
	// package synctest, and went with that. A bubble has a clock of its own, which
	// is behind.
	now, started := time.Now().UnixNano(), seenTimer.Load()
	if started != 0 && started-lostTimer < now && now < started+lostTimer {
		return epoch
	}
	if seenTimer.CompareAndSwap(started, now) {
		time.AfterFunc(seenTime, endSeenEpoch)
	}
	return epoch
}

// endSeenEpoch has everything that has been seen looked at again.
func endSeenEpoch() {
	seenTimer.Store(0) // first: see timedEpoch
	atomic.AddUint32(&seenEpoch, 2)
}

// seenState is what was lately seen of the window of a generation.
type seenState struct {
	key   seenKey
	shift uint8   // of the length of a section
	epoch *uint32 // seenEpoch, or mapAlone where all is copied from the map
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
	need := seenBlocks(skew, n)
	switch {
	case before == nil:
		if s.blocks = need; n == 0 {
			s.blocks = seenFirst
		}
		s.key = newSeenKey(skew, s.blocks)
	case need > before.blocks: // twice as many at least, so that a growing file seldom forgets
		s.blocks = max(need, min(2*before.blocks, seenWords))
		s.key = newSeenKey(skew, s.blocks)
	default:
		s.key, s.blocks = before.key, before.blocks
		if shorter { // what is cut off may come back as something else
			s.key = s.key.renamed()
		}
	}
	if inMap {
		s.shift, s.epoch = 63, &mapAlone
		return
	}
	s.shift, s.epoch = uint8(bits.Len64(uint64(max(n, seenBlock*seenSections)-1)/seenSections)), &seenEpoch
}

// whole reports whether n bytes at off of the window are to be copied from the map
// without more ado: if they are few, and lie in a section that was lately seen whole,
// or behind it.
func (s *seenState) whole(off, n int64) bool {
	return s.sections[uint64(off)>>(s.shift&63)%seenSections].Load() == atomic.LoadUint32(s.epoch) && n <= seenUnit
}
