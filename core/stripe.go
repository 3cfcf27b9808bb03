package core

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// cacheLines is the distance at which two words never share a line: lines are
// 64 bytes on most machines, fetched in pairs, and 128 on some.
const cacheLines = 128

// stripe counts the short operations of the goroutines of one P.
type stripe struct {
	n atomic.Int64
	_ [cacheLines - 8]byte
}

// token names a stripe. Each P keeps one in its part of the pool, so that
// goroutines of one P use one stripe and those of another P another one. A
// hash of the goroutine's stack lands two Ps on one stripe too often.
type token struct{ i uint32 }

var (
	lastToken atomic.Uint32
	tokens    = sync.Pool{New: func() any { return &token{lastToken.Add(1)} }}
)

// myStripe is the index of the stripe to use now; callers mask it. It is only a
// hint: any stripe is correct.
func myStripe() uint32 {
	t := tokens.Get().(*token)
	i := t.i
	tokens.Put(t)
	return i
}

// stripes is how many there are: a power of two, with room for tokens that the
// pool made afresh after a garbage collection.
func stripes() int {
	n := 4
	for n < 2*runtime.GOMAXPROCS(0) {
		n *= 2
	}
	return n
}
