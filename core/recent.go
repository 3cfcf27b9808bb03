package core

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// hotAfter is the number of a store to a page since its last flush from
	// which on stores go through the map. The first of these costs about as much
	// as two system calls, and then up to some MiB of a flush: with many fewer,
	// pages with some records would pay for it, and with many more, counters
	// that are flushed often.
	hotAfter = 32

	// hotAheadAfter is the same number for a page that was written ahead. Such a page
	// is a folio of its own, so that a flush writes no more for it.
	hotAheadAfter = 2

	storeUnit = 4 << 10 // what stores are counted for: no page is smaller
	storeTick = 100 * time.Millisecond

	recentChunk = 512 // units that are allocated together
)

// recent counts the stores to each unit of a file since its last flush, and
// remembers which units a system call has made writable since then. It takes 8
// bytes per unit that is stored to, in chunks. What it forgets or is late to
// forget costs time alone: a system call, or a page fault.
//
// A unit's word has, from the low bits on, the number of stores, or isHot, the
// age of the counts in which it was made, and the tick in which it was made
// writable. Counts of another age are forgotten.
type recent struct {
	age    atomic.Uint32
	ahead  atomic.Int64 // 1 + the first unit from which on all were written ahead; 0 if none
	chunks atomic.Pointer[[]atomic.Pointer[[recentChunk]atomic.Uint64]]
	mu     sync.Mutex // held while replacing chunks and making one
}

const (
	countBits = 8
	ageBits   = 32 - countBits
	isHot     = 1<<countBits - 1
)

var storeBase = time.Now() // of the clock of recent

// storeNow returns the current tick.
func storeNow() uint32 { return uint32(time.Since(storeBase) / storeTick) }

// lookUp returns the word of a unit, nil if its chunk has not been made.
func (c *recent) lookUp(unit int64) *atomic.Uint64 {
	chunks := c.chunks.Load()
	if chunks == nil || unit/recentChunk >= int64(len(*chunks)) {
		return nil
	}
	chunk := (*chunks)[unit/recentChunk].Load()
	if chunk == nil {
		return nil
	}
	return &chunk[unit%recentChunk]
}

// at returns the word of a unit, whose chunk it makes if need be.
func (c *recent) at(unit int64) *atomic.Uint64 {
	if w := c.lookUp(unit); w != nil {
		return w
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := unit / recentChunk
	chunks := c.chunks.Load()
	if chunks == nil || i >= int64(len(*chunks)) {
		more := make([]atomic.Pointer[[recentChunk]atomic.Uint64], 1<<bits.Len64(uint64(i)))
		if chunks != nil {
			for j := range *chunks {
				more[j].Store((*chunks)[j].Load())
			}
		}
		chunks = &more
		c.chunks.Store(chunks)
	}
	chunk := (*chunks)[i].Load()
	if chunk == nil {
		chunk = new([recentChunk]atomic.Uint64)
		(*chunks)[i].Store(chunk)
	}
	return &chunk[unit%recentChunk]
}

// made returns the low half of the word of a unit with that many stores of now.
func (c *recent) made(count uint32) uint32 {
	return c.age.Load()<<countBits | count
}

// hot reports whether every unit of [off, off+n) is hot.
func (c *recent) hot(off, n int64) bool {
	want := c.made(isHot)
	for unit, last := off/storeUnit, (off+n-1)/storeUnit; unit <= last; unit++ {
		if w := c.lookUp(unit); w == nil || uint32(w.Load()) != want {
			return false
		}
	}
	return true
}

// fresh reports whether every unit of [off, off+n) is hot, and was made writable
// in this tick.
func (c *recent) fresh(off, n int64) bool {
	want := uint64(storeNow())<<32 | uint64(c.made(isHot))
	for unit, last := off/storeUnit, (off+n-1)/storeUnit; unit <= last; unit++ {
		if w := c.lookUp(unit); w == nil || w.Load() != want {
			return false
		}
	}
	return true
}

// writtenAhead notes that what is from off on was written page by page.
func (c *recent) writtenAhead(off int64) {
	unit := max(off+storeUnit-1, 0) / storeUnit
	if a := c.ahead.Load(); a == 0 || unit+1 < a {
		c.ahead.Store(unit + 1)
	}
}

// limit returns the number of a store to a unit from which on that is hot.
func (c *recent) limit(unit int64) uint32 {
	if a := c.ahead.Load(); a > 0 && unit >= a-1 {
		return hotAheadAfter
	}
	return hotAfter
}

// count counts a store to [off, off+n), and reports whether each of its units
// has had enough of them to be hot. Concurrent stores may be counted as one.
func (c *recent) count(off, n int64) (enough bool) {
	enough = true
	none := c.made(0)
	for unit, last := off/storeUnit, (off+n-1)/storeUnit; unit <= last; unit++ {
		w := c.at(unit)
		stores := uint32(w.Load()) - none // more than isHot if they are of another age
		switch {
		case stores == isHot:
			continue
		case stores > isHot:
			stores = 0
		}
		limit := c.limit(unit)
		stores = min(stores+1, limit)
		w.Store(uint64(none + stores))
		enough = enough && stores == limit
	}
	return enough
}

// mark notes that a system call has just made the units of [off, off+n)
// writable.
func (c *recent) mark(off, n int64) {
	w := uint64(storeNow())<<32 | uint64(c.made(isHot))
	for unit, last := off/storeUnit, (off+n-1)/storeUnit; unit <= last; unit++ {
		c.at(unit).Store(w)
	}
}

// forget forgets all counts.
func (c *recent) forget() {
	for {
		age := c.age.Load()
		if c.age.CompareAndSwap(age, (age+1)&(1<<ageBits-1)) {
			return
		}
	}
}

// forgetRange forgets the counts of [off, off+n), or, if those are many, all.
func (c *recent) forgetRange(off, n int64) {
	if n > recentChunk*storeUnit || off > math.MaxInt64-n {
		c.forget()
		return
	}
	for unit, last := off/storeUnit, (off+n-1)/storeUnit; unit <= last; unit++ {
		if w := c.lookUp(unit); w != nil {
			w.Store(0)
		}
	}
}
