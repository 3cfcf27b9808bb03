package async_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// Hints agree with a model that records for each unit the last tick in which it was
// seen: they never claim more, and within a tick they claim all of it.
func TestHintsAgainstModel(t *testing.T) {
	still(t, testHints)
}

func testHints(t *testing.T, p *async.Pool) {
	const units, unit = 1 << 15, async.HintUnit
	seed := testutil.Seed(t)
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
			async.AgeHints(ticks)
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

// Shrinking, and advice that evicts pages, remove hints.
func TestHintsAreInvalidated(t *testing.T) {
	const size = 200_000
	forKinds(t, size, func(t *testing.T, f *async.File) {
		for _, c := range []struct {
			name string
			do   func()
		}{
			{"truncate", func() {
				check(t, f.Truncate(bg, size/2).Wait())
				check(t, f.Truncate(bg, size).Wait())
			}},
			{"truncate below", func() {
				check(t, f.Core().Truncate(size/2))
				if async.HasHint(f, 0, size/2) {
					t.Error("shrunk: there is a hint still")
				}
				check(t, f.PageIn(bg, 0, 10).Wait())
				check(t, f.Core().Truncate(size))
			}},
			{"advise", func() { _ = f.Advise(bg, core.AdviceDontNeed, 0, size).Wait() }},
		} {
			check(t, f.PageIn(bg, 0, size).Wait())
			if !async.HasHint(f, size-10, 10) {
				t.Fatalf("%s: no hint after PageIn", c.name)
			}
			c.do()
			if async.HasHint(f, size-10, 10) {
				t.Errorf("%s: the hint is there still", c.name)
			}
		}
	})
}

// Operations appear under their own names in hooks, and so in labels and traces,
// which take them from the same table: Advise as "advise", and the page-in of a
// read as that of the read.
func TestOperationsAreNamed(t *testing.T) {
	needsFiles(t)
	var mu sync.Mutex
	var ops []string
	p := open(t, async.PoolOptions{Hooks: async.Hooks{OnDone: func(l async.Lane, op string, _ time.Duration, _ error) {
		mu.Lock()
		defer mu.Unlock()
		ops = append(ops, l.String()+" "+op)
	}}})
	f := cold(t, p, 100_000)
	for _, c := range []struct {
		do   func() waiter
		want []string
	}{
		{func() waiter { return f.Advise(bg, core.AdviceRandom, 0, 100_000) }, []string{"page advise"}},
		{func() waiter { return f.PageIn(bg, 0, 1) }, []string{"page page-in"}},
		{func() waiter { return f.Load(bg, 10_000, 1) }, []string{"page load"}},
		{func() waiter { return f.ReadAt(bg, make([]byte, 1), 20_000) }, []string{"page read"}},
		{func() waiter { return f.WriteAt(bg, make([]byte, 1), 30_000) }, []string{"page write"}},
	} {
		// Where the advice has no effect, the operation before has read ahead.
		chill(t, f)
		mu.Lock()
		ops = nil
		mu.Unlock()
		w := c.do()
		if err := w.Wait(); !testutil.Sandboxed() || !errors.Is(err, errors.ErrUnsupported) {
			check(t, err)
		}
		giveBack(w)
		mu.Lock()
		if !slices.Equal(ops, c.want) {
			t.Errorf("operations in hooks: got %q, want %q", ops, c.want)
		}
		mu.Unlock()
	}
}

// Growing keeps hints.
func TestHintsSurviveGrowth(t *testing.T) {
	const size = 200_000
	forKinds(t, size, func(t *testing.T, f *async.File) {
		check(t, f.PageIn(bg, 0, size).Wait())
		check(t, f.Truncate(bg, 70<<20).Wait())
		check(t, f.PageIn(bg, 69<<20, 1<<20).Wait())
		if !async.HasHint(f, 0, size) || !async.HasHint(f, 69<<20, 1<<20) {
			t.Error("growing lost the hints")
		}
		if async.HasHint(f, 50<<20, 1) {
			t.Error("a hint for what was never looked at")
		}
	})
}

// forKinds runs a test over all kinds of files while the clock stands still.
func forKinds(t *testing.T, n int, test func(t *testing.T, f *async.File)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			still(t, func(t *testing.T, p *async.Pool) { test(t, k.open(t, p, n)) })
		})
	}
}
