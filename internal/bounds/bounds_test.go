package bounds_test

import (
	"math"
	"testing"

	"github.com/fmmap-go/fmmap/internal/bounds"
)

func TestRanges(t *testing.T) {
	const top = math.MaxInt64
	for _, c := range []struct {
		off, n, size  int64
		valid, within bool
	}{
		{0, 0, 0, true, true},
		{0, 1, 0, true, false},
		{3, 4, 7, true, true},
		{3, 5, 7, true, false},
		{7, 0, 7, true, true},
		{8, 0, 7, true, false},
		{-1, 1, 7, false, false},
		{1, -1, 7, false, false},
		{0, top, top, true, true},
		{1, top, top, false, false},
		{top, 0, top, true, true},
		{top, top, top, false, false},
		{math.MinInt64, math.MinInt64, top, false, false},
	} {
		if got := bounds.Valid(c.off, c.n); got != c.valid {
			t.Errorf("Valid(%d, %d) = %t, want %t", c.off, c.n, got, c.valid)
		}
		if got := bounds.Within(c.off, c.n, c.size); got != c.within {
			t.Errorf("Within(%d, %d, %d) = %t, want %t", c.off, c.n, c.size, got, c.within)
		}
	}
}
