package flush

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/fmmap-go/fmmap/internal/bounds"
)

// span is a half-open range of bytes [lo, hi), 0 <= lo <= hi.
type span struct{ lo, hi int64 }

// everything is the span of requests that name no range.
var everything = span{0, math.MaxInt64}

// spanOf is [off, off+n). It is the one place that adds the two.
func spanOf(off, n int64) (span, error) {
	if !bounds.Valid(off, n) {
		return span{}, rangeError(off, n)
	}
	return span{off, off + n}, nil
}

// rangeError wraps [ErrRange] with the range that was asked for.
func rangeError(off, n int64) error {
	return fmt.Errorf("%w: offset %d, length %d", ErrRange, off, n)
}

// len is the number of bytes of s.
func (s span) len() int64 { return s.hi - s.lo }

// hull is the smallest span that covers s and t.
func (s span) hull(t span) span { return span{min(s.lo, t.lo), max(s.hi, t.hi)} }

// gap is the number of bytes between s and t, not positive if there are none.
func (s span) gap(t span) int64 { return max(s.lo, t.lo) - min(s.hi, t.hi) }

// clip is what of s lies below length.
func (s span) clip(length int64) span { return span{min(s.lo, length), min(s.hi, length)} }

// maxSpans is how many calls one batch makes at most. Each costs a flush of the
// device, so that beyond a few one hull is better over any ground.
const maxSpans = 8

// cover is what a batch flushes: disjoint spans that cover the ranges of its members.
// Without a gap that is one, their hull.
type cover struct {
	spans [maxSpans]span
	n     int
}

// add widens c by s. Spans that are at most gap bytes apart become one; with no
// gap (0) all do, and when there is no room for one more, those that are nearest.
func (c *cover) add(s span, gap int64) {
	for i := 0; i < c.n; {
		if t := c.spans[i]; gap <= 0 || s.gap(t) <= gap {
			s = s.hull(t)
			c.remove(i)
			i = 0 // the wider s may be near to those seen before
		} else {
			i++
		}
	}
	if c.n == maxSpans {
		nearest := 0
		for i, t := range c.spans {
			if s.gap(t) < s.gap(c.spans[nearest]) {
				nearest = i
			}
		}
		s = s.hull(c.spans[nearest])
		c.remove(nearest)
		c.add(s, gap)
		return
	}
	c.spans[c.n] = s
	c.n++
}

// remove takes span i out.
func (c *cover) remove(i int) {
	c.n--
	c.spans[i] = c.spans[c.n]
}

// cut clips all spans to length and returns them in order. Those of which nothing is
// left are dropped, but for one if all are: an empty call still tells how the target is.
func (c *cover) cut(length int64) []span {
	spans := c.spans[:c.n]
	for i := range spans {
		spans[i] = spans[i].clip(length)
	}
	slices.SortFunc(spans, func(s, t span) int { return cmp.Compare(s.lo, t.lo) })
	for len(spans) > 1 && spans[len(spans)-1].len() == 0 {
		spans = spans[:len(spans)-1]
	}
	return spans
}
