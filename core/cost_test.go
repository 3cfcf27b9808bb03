package core_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// costs runs fn with n and with ten times as much, and fails the test if the
// second run takes more than growth times the steps of the first, and a few.
func costs(t *testing.T, n int, growth float64, fn func(n int) (steps int)) {
	t.Helper()
	small, large := fn(n), fn(10*n)
	if float64(large) > growth*float64(small)+100 {
		t.Errorf("%d steps for %d, and %d for %d: want at most %v times as many", small, n, large, 10*n, growth)
	}
}

const (
	constant = 1
	linear   = 15 // with a logarithm
)

// waitingChanges are changes that wait for a pin of the last byte of a file.
var waitingChanges = []struct {
	name  string
	start func(f *core.File) (*core.Change, error)
}{
	{"shrink", func(f *core.File) (*core.Change, error) { return f.StartTruncate(KiB, nil) }},
	{"move", func(f *core.File) (*core.Change, error) { return f.StartTruncate(8*MiB, nil) }},
	{"close", func(f *core.File) (*core.Change, error) { return f.StartClose(nil) }},
}

func lots() int {
	if testing.Short() {
		return 1000
	}
	return 10_000
}

// Pins that are released while a change waits for another one cost a constant
// number of steps each, in whatever order they are released.
func TestReleasesBesideAWaitingChange(t *testing.T) {
	for _, c := range waitingChanges {
		t.Run(c.name, func(t *testing.T) {
			costs(t, lots(), linear, func(n int) int {
				rng := testutil.Rand(t)
				f := core.NewMemory("m", make([]byte, 64*KiB))
				older := pinned(t, f, 63*KiB, KiB)
				pins := make([]*core.Pin, n)
				for i := range pins {
					pins[i] = shortPin(t, f, rng.Int64N(KiB), KiB)
				}
				ch, err := c.start(f)
				check(t, err)
				before := core.Steps(f)
				for _, i := range rng.Perm(n) {
					pins[i].Release()
				}
				steps := core.Steps(f) - before
				older.Release()
				check(t, ch.Finish())
				return steps
			})
		})
	}
}

// Pins that are taken and released while a change waits for an older one do
// not wake it.
func TestNewPinsBesideAWaitingChange(t *testing.T) {
	for _, c := range waitingChanges[:2] {
		t.Run(c.name, func(t *testing.T) {
			f := core.NewMemory("m", make([]byte, 64*KiB))
			older := pinned(t, f, 63*KiB, KiB)
			ch, err := c.start(f)
			check(t, err)
			before := core.Wakes(f)
			for range 1000 {
				shortPin(t, f, 0, KiB).Release()
			}
			if wakes := core.Wakes(f) - before; wakes != 0 {
				t.Errorf("1000 pins woke the change %d times", wakes)
			}
			older.Release()
			check(t, ch.Finish())
		})
	}
}

// shortPin is pinned without a cleanup.
func shortPin(t *testing.T, f *core.File, off, end int64) *core.Pin {
	t.Helper()
	p, err := f.Pin(off, end-off)
	check(t, err)
	return p
}

// A change finds out what blocks it in a number of steps that does not depend
// on the number of pins.
func TestStartingAChangeBesidePins(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(f *core.File) error
	}{
		{"a shrink that cuts off no pin", func(f *core.File) error { return f.Truncate(10 * KiB) }},
		{"a shrink that cuts off pins", func(f *core.File) error {
			ch, err := f.StartTruncate(10, nil)
			ch.Cancel()
			return err
		}},
		{"growth", func(f *core.File) error { return f.Truncate(100 * KiB) }},
		{"a move", func(f *core.File) error {
			ch, err := f.StartTruncate(8*MiB, nil)
			ch.Cancel()
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			costs(t, lots(), constant, func(n int) int {
				f := core.NewMemory("m", make([]byte, 64*KiB, 128*KiB))
				pins := make([]*core.Pin, n)
				for i := range pins {
					pins[i] = shortPin(t, f, 0, KiB+rand.Int64N(KiB))
				}
				before := core.Steps(f)
				check(t, c.do(f))
				steps := core.Steps(f) - before
				for _, p := range pins {
					p.Release()
				}
				check(t, f.Close())
				return steps
			})
		})
	}
}

// Canceling changes that are queued costs the same wherever they are in the
// queue.
func TestCancelingQueuedChanges(t *testing.T) {
	for name, order := range map[string]func(i, n int) int{
		"from the front": func(i, n int) int { return i },
		"from the back":  func(i, n int) int { return n - 1 - i },
		"from both":      func(i, n int) int { return i/2 + i%2*(n-i) },
	} {
		t.Run(name, func(t *testing.T) {
			costs(t, lots(), linear, func(n int) int {
				f := core.NewMemory("m", make([]byte, 64*KiB))
				p := pinned(t, f, 63*KiB, KiB)
				changes := make([]*core.Change, n)
				for i := range changes {
					c, err := f.StartTruncate(KiB, nil)
					check(t, err)
					changes[i] = c
				}
				before := core.Steps(f)
				for i := range n {
					if k := order(i, n); !changes[k].Cancel() {
						t.Fatalf("change %d of %d cannot be canceled", k, n)
					}
				}
				steps := core.Steps(f) - before
				p.Release()
				check(t, f.Close())
				return steps
			})
		})
	}
}

// A change is ready exactly when the last pin that blocks it is released,
// whichever pins there are and whatever the order.
func TestChangeIsReadyWithTheLastPinThatBlocks(t *testing.T) {
	for _, b := range resizable {
		t.Run(b.name, func(t *testing.T) {
			rng := testutil.Rand(t)
			for range 200 {
				f := b.open(t, pattern(1000, 1), KiB)
				pins := make(map[*core.Pin]bool)
				for range rng.IntN(40) {
					off := rng.Int64N(1001)
					pins[shortPin(t, f, off, off+rng.Int64N(1001-off))] = true
				}
				for p := range pins { // some that leave holes in the heap
					if rng.IntN(3) == 0 {
						p.Release()
						delete(pins, p)
					}
				}
				length, isReady := rng.Int64N(1000), false
				start := f.StartTruncate
				if rng.IntN(4) == 0 {
					length = -1 // every pin blocks a closing
					start = func(_ int64, ready func(*core.Change)) (*core.Change, error) { return f.StartClose(ready) }
				}
				c, err := start(sizeOf(t, f, length), func(*core.Change) { isReady = true })
				check(t, err)
				blocks := func(p *core.Pin) bool { return everyPinBlocks(f) || p.Offset()+p.Len() > length }
				for {
					want := true
					var next *core.Pin
					for p := range pins {
						want = want && !blocks(p)
						next = p
					}
					if isReady != want {
						t.Fatalf("ready: %v, want %v, with %v", isReady, want, pins)
					}
					if next == nil {
						break
					}
					if rng.IntN(3) == 0 { // another owner of some of the bytes
						off := rng.Int64N(next.Len() + 1)
						part, err := next.Slice(off, rng.Int64N(next.Len()-off+1))
						check(t, err)
						pins[part] = true
					}
					next.Release()
					delete(pins, next)
				}
				check(t, c.Finish())
				_ = f.Close()
			}
		})
	}
}

// A pin blocks a shrink that cuts off its last byte, and none that does not.
func TestShrinkByOneByte(t *testing.T) {
	for _, b := range resizable {
		t.Run(b.name, func(t *testing.T) {
			f := b.open(t, pattern(1000, 1), KiB)
			if everyPinBlocks(f) {
				t.Skip("every pin blocks here")
			}
			p := pinned(t, f, 0, 500)
			c, err := f.StartTruncate(sizeOf(t, f, 500), nil)
			check(t, err)
			check(t, c.Finish())
			if c, err = f.StartTruncate(sizeOf(t, f, 499), nil); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if err := f.TruncateContext(ctx, 0); err == nil {
				t.Error("a change overtook one that waits")
			}
			p.Release()
			check(t, c.Finish())
		})
	}
}

// A change that is being performed can be canceled no longer.
func TestCancelWhileAChangeIsPerformed(t *testing.T) {
	if sys.ShrinkNeedsUnmap {
		t.Skip("shrinking runs while nothing else can here, Cancel included")
	}
	f := opened(t, tempFile(t, pattern(64*KiB, 1)), core.Options{Access: core.ReadWrite})
	c, err := f.StartTruncate(KiB, nil)
	check(t, err)
	canceled := true
	during(t, sys.OpTruncate, func() { canceled = c.Cancel() })
	check(t, c.Finish())
	if canceled || f.Len() != KiB {
		t.Errorf("canceled: %v, length %d", canceled, f.Len())
	}
}
