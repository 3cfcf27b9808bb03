// Package stripe spreads a counter or a lock over several cache lines, so that
// goroutines on different Ps rarely write to the same one.
//
// A striped value is a slice made by [Make]; [Of] returns the element to use
// now. Goroutines on one P mostly get the same element, and goroutines on
// different Ps mostly get different ones. That is a hint for speed alone: every
// element is correct for every goroutine. In particular, what [Of] returned
// must be kept to undo an increment on the same element.
package stripe

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Line is the distance in bytes at which two words never share a cache line:
// lines are 64 bytes on most machines, fetched in pairs, and 128 on some. An
// element of a striped value is padded to a multiple of it.
const Line = 128

// A Counter is a counter on a cache line of its own.
type Counter struct {
	atomic.Int64
	_ [Line - 8]byte
}

// Make returns a striped value: a power of two of zero elements, at least two
// per P. Half of them are room for the tokens that replace those which a
// garbage collection has dropped.
func Make[T any]() []T {
	n := 4
	for n < 2*runtime.GOMAXPROCS(0) {
		n *= 2
	}
	return make([]T, n)
}

// Of returns the element of a striped value to use now.
func Of[T any](s []T) *T {
	return &s[current()&uint32(len(s)-1)]
}

// Sum returns the sum of a striped counter. Increments that run concurrently
// may be missing from it.
func Sum(s []Counter) int64 {
	var n int64
	for i := range s {
		n += s[i].Load()
	}
	return n
}

// A token holds the number that selects an element. Each P keeps one in its
// part of the pool, so that goroutines on one P select one element and those on
// another P another one. A hash of the goroutine's stack would make two Ps
// select the same element too often.
type token struct{ i uint32 }

var (
	lastToken atomic.Uint32
	tokens    = sync.Pool{New: func() any { return &token{lastToken.Add(1)} }}
)

// current returns the number of the token of this P.
func current() uint32 {
	t := tokens.Get().(*token)
	i := t.i
	tokens.Put(t)
	return i
}
