// Package bounds checks ranges of bytes [off, off+n) against the length of
// what they lie in. It is the only place that adds off and n, so that the
// overflow is checked once.
package bounds

import (
	"errors"
	"math"
)

// ErrRange is the error for an offset or a length that is negative, overflows,
// or lies outside of what it refers to.
var ErrRange = errors.New("range outside the window")

// Valid reports whether [off, off+n) is a range at all: neither number is
// negative, and their sum does not overflow.
func Valid(off, n int64) bool { return off >= 0 && n >= 0 && n <= math.MaxInt64-off }

// Within reports whether [off, off+n) is a range that lies in [0, size).
func Within(off, n, size int64) bool { return off >= 0 && n >= 0 && off <= size && n <= size-off }
