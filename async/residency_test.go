package async_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// What was cut off, or evicted by advice, no longer counts as seen.
func TestWhatIsGoneIsNotSeen(t *testing.T) {
	const size = 200_000
	forKinds(t, size, func(t *testing.T, f *async.File) {
		if f.Core().Seen(0, size) {
			return // memory of the heap, which always counts as seen
		}
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
				if f.Core().Seen(0, size/2) {
					t.Error("shrunk: seen still")
				}
				check(t, f.PageIn(bg, 0, 10).Wait())
				check(t, f.Core().Truncate(size))
			}},
			{"advise", func() { _ = f.Advise(bg, core.AdviceDontNeed, 0, size).Wait() }},
		} {
			check(t, f.PageIn(bg, 0, size).Wait())
			if !f.Core().Seen(size-10, 10) {
				t.Fatalf("%s: not seen after PageIn", c.name)
			}
			c.do()
			if f.Core().Seen(size-10, 10) {
				t.Errorf("%s: seen still", c.name)
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

// forKinds runs a test over all kinds of files while the clock stands still.
func forKinds(t *testing.T, n int, test func(t *testing.T, f *async.File)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			still(t, func(t *testing.T, p *async.Pool) { test(t, k.open(t, p, n)) })
		})
	}
}
