package flush

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/fmmap-go/fmmap/internal/bounds"
	"github.com/fmmap-go/fmmap/internal/invariant"
)

// span is a half-open range of bytes [lo, hi), 0 <= lo <= hi.
type span struct{ lo, hi int64 }

// wholeFile is the span of requests that name no range.
var wholeFile = span{0, math.MaxInt64}

// spanOf returns [off, off+n). It is the one place that adds the two.
func spanOf(off, n int64) (span, error) {
	if !bounds.Valid(off, n) {
		return span{}, rangeError(off, n)
	}
	return span{off, off + n}, nil
}

// rangeError wraps [ErrRange] with the requested range.
func rangeError(off, n int64) error {
	return fmt.Errorf("%w: offset %d, length %d", ErrRange, off, n)
}

// len returns the number of bytes of s.
func (s span) len() int64 { return s.hi - s.lo }

// hull returns the smallest span that covers s and t.
func (s span) hull(t span) span { return span{min(s.lo, t.lo), max(s.hi, t.hi)} }

// gap returns the number of bytes between s and t, not positive if there are
// none.
func (s span) gap(t span) int64 { return max(s.lo, t.lo) - min(s.hi, t.hi) }

// clip returns what of s lies below length.
func (s span) clip(length int64) span { return span{min(s.lo, length), min(s.hi, length)} }

// maxSpans is how many calls one batch makes at most. Each costs a flush of the
// device, so that beyond a few one hull is better whatever it covers.
const maxSpans = 8

// A rangeSet is what a batch flushes: disjoint spans that cover the ranges of
// its members. Without a gap that is one span, their hull.
type rangeSet struct {
	spans [maxSpans]span
	n     int
}

// add widens r by s. Spans that are at most gap bytes apart become one; with no
// gap (0) all do, and when there is no room for one more, those that are
// nearest.
func (r *rangeSet) add(s span, gap int64) {
	for i := 0; i < r.n; {
		if t := r.spans[i]; gap <= 0 || s.gap(t) <= gap {
			s = s.hull(t)
			r.remove(i)
			i = 0 // the wider s may be near to those seen before
		} else {
			i++
		}
	}
	if r.n == maxSpans {
		nearest := 0
		for i, t := range r.spans {
			if s.gap(t) < s.gap(r.spans[nearest]) {
				nearest = i
			}
		}
		s = s.hull(r.spans[nearest])
		r.remove(nearest)
		r.add(s, gap)
		return
	}
	if invariant.Enabled {
		for _, t := range r.spans[:r.n] {
			invariant.Check(s.gap(t) > max(gap, 0), "flush: spans %v and %v of one batch, gap %d", s, t, gap)
		}
	}
	r.spans[r.n] = s
	r.n++
}

// remove removes span i.
func (r *rangeSet) remove(i int) {
	r.n--
	r.spans[i] = r.spans[r.n]
}

// clip clips all spans to length and returns them in order. Empty spans are
// dropped, except for one if all are empty: an empty call still returns whether
// the target has failed.
func (r *rangeSet) clip(length int64) []span {
	spans := r.spans[:r.n]
	for i := range spans {
		spans[i] = spans[i].clip(length)
	}
	slices.SortFunc(spans, func(s, t span) int { return cmp.Compare(s.lo, t.lo) })
	for len(spans) > 1 && spans[len(spans)-1].len() == 0 {
		spans = spans[:len(spans)-1]
	}
	return spans
}
