package flush

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

func TestJoinersThatStayAwayAreSoonNotAwaited(t *testing.T) {
	j := expectedJoiners{patience: maxPatience}
	for range 10 {
		j.learn(8, 0)
	}
	if j.patience != minPatience {
		t.Errorf("after ten waits without a joiner the patience is %v, want %v", j.patience, minPatience)
	}
	for range 10 {
		j.learn(8, 4)
	}
	if j.patience != maxPatience {
		t.Errorf("after ten with joiners it is %v, want %v", j.patience, maxPatience)
	}
}

func TestRangeSetKeepsSpansApart(t *testing.T) {
	for _, tt := range []struct {
		name  string
		gap   int64
		spans []span
		want  []span
	}{
		{"no gap", 0, []span{{0, 1}, {1000, 1001}}, []span{{0, 1001}}},
		{"negative gap", -1, []span{{0, 1}, {1000, 1001}}, []span{{0, 1001}}},
		{"apart", 10, []span{{1000, 1001}, {0, 1}}, []span{{0, 1}, {1000, 1001}}},
		{"just near enough", 10, []span{{0, 1}, {11, 12}}, []span{{0, 12}}},
		{"just too far", 10, []span{{0, 1}, {12, 13}}, []span{{0, 1}, {12, 13}}},
		{"overlapping", 10, []span{{0, 100}, {50, 150}}, []span{{0, 150}}},
		{"a bridge", 10, []span{{0, 10}, {30, 40}, {60, 70}, {15, 25}, {45, 55}}, []span{{0, 70}}},
		{"whole file", 10, []span{{0, 1}, {1000, 1001}, wholeFile}, []span{wholeFile}},
		{"one too many", 1, []span{{0, 1}, {10, 11}, {20, 21}, {30, 31}, {40, 41}, {50, 51}, {60, 61}, {70, 71}, {73, 74}},
			[]span{{0, 1}, {10, 11}, {20, 21}, {30, 31}, {40, 41}, {50, 51}, {60, 61}, {70, 74}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r rangeSet
			for _, s := range tt.spans {
				r.add(s, tt.gap)
			}
			if got := r.clip(math.MaxInt64); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestRangeSetIsClippedToTheLength(t *testing.T) {
	for _, tt := range []struct {
		length int64
		want   []span
	}{
		{100, []span{{0, 10}, {50, 60}, {90, 100}}},
		{55, []span{{0, 10}, {50, 55}}},
		{50, []span{{0, 10}}},
		{0, []span{{0, 0}}},
	} {
		var r rangeSet
		for _, s := range []span{{90, 100}, {0, 10}, {50, 60}} {
			r.add(s, 1)
		}
		if got := r.clip(tt.length); !slices.Equal(got, tt.want) {
			t.Errorf("clipped to %d: %v, want %v", tt.length, got, tt.want)
		}
	}
}

func TestRangeSetCoversItsRangesAndStaysDisjoint(t *testing.T) {
	seed := testutil.Seed(t)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		var r rangeSet
		var covered [256]bool
		gap := rnd.Int64N(20)
		for range rnd.IntN(30) + 1 {
			lo := rnd.Int64N(250)
			s := span{lo, min(lo+1+rnd.Int64N(20), 256)}
			r.add(s, gap)
			for i := s.lo; i < s.hi; i++ {
				covered[i] = true
			}
		}
		spans := r.clip(256)
		if gap == 0 && len(spans) != 1 {
			t.Fatalf("without a gap: %v", spans)
		}
		for i, s := range spans {
			if i > 0 && s.lo-spans[i-1].hi <= gap {
				t.Fatalf("spans %v are not more than %d apart", spans, gap)
			}
			if !covered[s.lo] || !covered[s.hi-1] {
				t.Fatalf("span %v of %v begins or ends outside the ranges", s, spans)
			}
			for j := s.lo; j < s.hi; j++ {
				covered[j] = false
			}
		}
		if slices.Contains(covered[:], true) {
			t.Fatalf("spans %v leave something out", spans)
		}
	}
}
