// Package seen remembers which bytes of mapped files were lately seen to be in
// memory.
//
// A load from a map costs nothing where the page is in memory, and elsewhere it
// is a page fault in which the goroutine holds its P until the device has
// responded. Whether a page is in memory only a system call can find out, which
// costs as much as a small copy. So the process remembers which pages it has
// lately seen there, in one table for all files, and trusts that for a while. A
// page that is forgotten too early costs a system call, and one that is trusted
// too long a page fault.
//
// The table has a word for each block of 128 KiB, at a place that follows from the
// block alone; a block that comes to a taken place replaces what is there. The low
// half of a word has a bit for each unit of the block that was seen. The high half
// names the file, the block and the epoch in which the units were seen; those of an
// earlier epoch do not count. The table has 1 MiB. What nothing was ever stored to
// takes no memory.
//
// An epoch ends 0.8 s after something was first seen in it, by a timer: to read a
// clock would take longer than all else that a lookup does. What records that
// something was seen has made a system call, and does read one.
package seen

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	Unit  = 4 << 10      // bytes per bit: no page is smaller
	Block = Unit * units // bytes per word

	units = 32      // bits per word
	words = 1 << 17 // of the table

	lasts     = 800 * time.Millisecond // an epoch
	lostTimer = int64(2 * lasts)       // after which a timer that has not run never will
)

// Epoch is the current epoch, to be loaded atomically: even, and not 0. It has a
// value from the beginning so that it lies among variables that are used all the
// time.
var Epoch uint32 = 2

var (
	table [words]atomic.Uint64
	place atomic.Uint64 // where the blocks of the next window begin
	timer atomic.Int64  // is running since that time (Unix, in nanoseconds); 0 if not
	held  atomic.Int32  // calls of Hold that are not over
)

// highHalf returns what the words of an epoch have in their high half on top of
// the name of the block.
func highHalf(epoch uint32) uint64 { return uint64(epoch*0x9e3779b9) << units }

// A Key names what has been seen of a window. Added to an offset in the window it
// has, from the low bits on, the offset in a block, the place of the block in the
// table, and a random number. All its methods may be called concurrently.
type Key uint64

// NewKey returns a key for a window that begins skew bytes behind a unit, with
// places for that many blocks. They are behind those of the window before it, so
// that files which are used side by side do not replace each other's words before
// the table is full.
func NewKey(skew, blocks int64) Key {
	at := place.Add(uint64(blocks)) - uint64(blocks)
	return Key(at%words*Block + uint64(skew)).Renamed()
}

// Renamed returns a key with the place of k, of which nothing has been seen.
func (k Key) Renamed() Key {
	const places = words * Block
	return Key(rand.Uint64()/places*places) + k%places
}

// Blocks returns how many blocks of the table a window of n bytes needs.
func Blocks(skew, n int64) int64 {
	return min((skew+min(n, words*Block)+Block-1)/Block, words)
}

// MostBlocks is how many blocks the table has.
const MostBlocks = words

// A Part is what a range of bytes has in one block.
type Part struct {
	word  *atomic.Uint64
	name  uint64 // of the block, as in the high half of its word, without the epoch
	units uint64 // of the range in the block
}

// Part returns what [off, off+n) has in the block of its first byte, and how many
// bytes that are.
func (k Key) Part(off, n int64) (Part, int64) {
	from := uint64(k) + uint64(off)
	n = min(n, Block-int64(from%Block))
	at, to := from/Block, from+uint64(n)-1
	return Part{
		word:  &table[at%words],
		name:  at / words << units,
		units: 2<<(to/Unit%units) - 1<<(from/Unit%units),
	}, n
}

// Block returns the bytes that a window of size bytes has in the block of the byte
// at off.
func (k Key) Block(off, size int64) (from, to int64) {
	from = off - int64((uint64(k)+uint64(off))%Block)
	return max(from, 0), min(from+Block, size)
}

// In reports whether all units of the part were seen in an epoch.
func (p Part) In(epoch uint32) bool {
	w := p.word.Load()
	return (w^(p.name+highHalf(epoch)))>>units == 0 && w&p.units == p.units
}

// AnyIn reports whether something of the block of the part was seen in an epoch.
func (p Part) AnyIn(epoch uint32) bool {
	p.units = 0
	return p.In(epoch)
}

// Knows reports whether something of the block of the byte at off was seen in this
// epoch or the one before it.
func (k Key) Knows(off int64) bool {
	p, _ := k.Part(off, 1)
	epoch := atomic.LoadUint32(&Epoch)
	return p.AnyIn(epoch) || p.AnyIn(epoch-2)
}

// Seen reports whether all of [off, off+n) was lately seen to be in memory.
func (k Key) Seen(off, n int64) bool {
	epoch := atomic.LoadUint32(&Epoch)
	for n > 0 {
		p, length := k.Part(off, n)
		if !p.In(epoch) {
			return false
		}
		off, n = off+length, n-length
	}
	return true
}

// Mark records that all of [off, off+n) has just been seen to be in memory.
func (k Key) Mark(off, n int64) {
	if n > words*Block { // it would replace its own words
		return
	}
	epoch := TimedEpoch()
	for n > 0 {
		p, length := k.Part(off, n)
		made := p.name + highHalf(epoch)
		for {
			old := p.word.Load()
			w := made | p.units
			if (old^w)>>units == 0 {
				w |= old
			}
			if w == old || p.word.CompareAndSwap(old, w) {
				break
			}
		}
		off, n = off+length, n-length
	}
}

// Forget forgets what was seen of [off, off+n).
func (k Key) Forget(off, n int64) {
	for n = min(n, words*Block); n > 0; {
		p, length := k.Part(off, n)
		if p.AnyIn(atomic.LoadUint32(&Epoch)) {
			p.word.Store(0)
		}
		off, n = off+length, n-length
	}
}

// TimedEpoch returns the current epoch, to record something in it.
func TimedEpoch() uint32 {
	// The epoch is read before the timer is looked at, and the timer says that it
	// has run before it ends the epoch: so what is recorded in an epoch has a
	// timer that ends it.
	epoch := atomic.LoadUint32(&Epoch)
	// A timer that is long overdue does not run: it was started in a bubble of
	// package synctest, and went with that. A bubble has a clock of its own, which
	// is behind.
	now, started := time.Now().UnixNano(), timer.Load()
	if started != 0 && started-lostTimer < now && now < started+lostTimer {
		return epoch
	}
	if timer.CompareAndSwap(started, now) {
		time.AfterFunc(lasts, func() {
			timer.Store(0) // first: see above
			if held.Load() == 0 {
				EndEpoch()
			}
		})
	}
	return epoch
}

// EndEpoch has everything that has been seen looked at again.
func EndEpoch() { atomic.AddUint32(&Epoch, 2) }

// Hold keeps the epoch from ending by itself until release is called, which ends
// it, and forgets its timer. It is for tests.
func Hold() (release func()) {
	held.Add(1)
	return func() {
		held.Add(-1)
		timer.Store(0) // that of a bubble that is over would count for the next one
		EndEpoch()     // last: what is recorded in between has no timer
	}
}
