package async_test

import (
	"math/rand/v2"
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// Against a model that knows for each unit the tick in which it was seen last: a
// hint never says more, and says all of it within a tick.
func TestHintsAgainstModel(t *testing.T) {
	still(t, testHints)
}

func testHints(t *testing.T, p *async.Pool) {
	const units, unit = 1 << 15, async.HintUnit
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	c, err := core.NewAnonymous(units*unit, core.Options{})
	check(t, err)
	f := async.Wrap(p, c)
	closedAtEnd(t, f)

	tick := 0
	seen := make([]int, units) // tick+1, 0 for never
	size := int64(units * unit)
	for range 20_000 {
		off := r.Int64N(size)
		n := min(r.Int64N(1<<r.IntN(24))+1, size-off)
		first, last := off/unit, (off+n-1)/unit
		switch r.IntN(8) {
		case 0:
			ticks := r.IntN(3)
			async.AgeHints(f, ticks)
			tick += ticks
		case 1, 2, 3:
			pin, err := c.Pin(off, n)
			check(t, err)
			async.SetHint(f, pin)
			pin.Release()
			for u := first; u <= last; u++ {
				seen[u] = tick + 1
			}
		default:
			fresh, now := true, true
			for _, at := range seen[first : last+1] {
				fresh = fresh && at > 0 && tick+1-at < async.HintTicks
				now = now && at == tick+1
			}
			if got := async.HasHint(f, off, n); got && !fresh || !got && now {
				t.Fatalf("[%d, %d): hint %v; all seen lately: %v, all seen in this tick: %v", off, off+n, got, fresh, now)
			}
		}
	}
}
