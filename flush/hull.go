package flush

import (
	"fmt"
	"math"
)

// span is a half-open range of bytes [lo, hi), 0 <= lo <= hi.
type span struct{ lo, hi int64 }

// everything is the hull of requests that name no range.
var everything = span{0, math.MaxInt64}

// spanOf is [off, off+n). It is the one place that adds the two.
func spanOf(off, n int64) (span, error) {
	if off < 0 || n < 0 || n > math.MaxInt64-off {
		return span{}, rangeError(off, n)
	}
	return span{off, off + n}, nil
}

// rangeError wraps [ErrRange] with the range that was asked for.
func rangeError(off, n int64) error {
	return fmt.Errorf("%w: offset %d, length %d", ErrRange, off, n)
}

// hull is the smallest span that covers s and t; neither may be empty.
func (s span) hull(t span) span { return span{min(s.lo, t.lo), max(s.hi, t.hi)} }

// clip is what of s lies below length.
func (s span) clip(length int64) span { return span{min(s.lo, length), min(s.hi, length)} }

// len is the number of bytes of s.
func (s span) len() int64 { return s.hi - s.lo }
