package seen_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/internal/seen"
)

// Windows that are used side by side have places of their own, also beside a large
// one, until the table is full.
func TestWindowsShareNoPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose timer ends no epoch of another test
		defer seen.Hold()()
		const large = 64 << 20
		keys := []seen.Key{seen.NewKey(0, seen.Blocks(0, large))}
		for range 1000 {
			keys = append(keys, seen.NewKey(100, seen.Blocks(100, 3*seen.Block)))
		}
		length := func(i int) int64 {
			if i == 0 {
				return large
			}
			return 3 * seen.Block
		}
		for i, k := range keys {
			k.Mark(0, length(i))
		}
		for i, k := range keys {
			if !k.Seen(0, length(i)) {
				t.Errorf("window %d has lost what was seen of it", i)
			}
		}
		if k := keys[1].Renamed(); k.Seen(0, 1) || k.Knows(0) {
			t.Error("a renamed key has what was seen before")
		}
	})
}

// An epoch ends 0.8 s after something was first seen in it. Then it counts as known
// for one more.
func TestEpochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen.Hold()() // no timer of another test counts
		k := seen.NewKey(0, 1)
		for round := range 3 {
			k.Mark(0, 10*seen.Unit)
			time.Sleep(700 * time.Millisecond)
			k.Mark(10*seen.Unit, 1)
			if !k.Seen(0, 10*seen.Unit+1) || k.Seen(0, 11*seen.Unit+1) {
				t.Errorf("round %d: in its epoch: not seen, or more than that", round)
			}
			time.Sleep(200 * time.Millisecond)
			if k.Seen(0, 1) || k.Seen(10*seen.Unit, 1) || !k.Knows(5*seen.Unit) {
				t.Errorf("round %d: after it: seen, or not known", round)
			}
		}
		k.Mark(0, seen.Block)
		k.Forget(0, 1) // and the block with it
		if k.Knows(0) {
			t.Error("forgotten, and known")
		}
	})
}

// No epoch ends by itself while it is held.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := seen.NewKey(0, 1)
		release := seen.Hold()
		k.Mark(0, 1)
		time.Sleep(time.Hour)
		if !k.Seen(0, 1) {
			t.Error("held, and no longer seen")
		}
		if release(); k.Seen(0, 1) {
			t.Error("released, and seen still")
		}
	})
}
