package core_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// An operation counts itself in before it looks whether its generation is
// still current. If it is not, the operation takes the count back, and wakes
// the change that may have seen it.
func TestSupersededGenerationAdmitsNoOperation(t *testing.T) {
	f := core.NewMemory("m", make([]byte, 10))
	defer f.Close()
	switch admitted, running, woken := core.EnterSuperseded(f); {
	case admitted:
		t.Error("an operation was admitted")
	case running != 0:
		t.Errorf("%d operations are counted", running)
	case woken == 0:
		t.Error("the operation looked before it was counted")
	}
}

// A pin looks whether its generation is still current when nothing can come
// between that and its being found in the list.
func TestSupersededGenerationGetsNoPin(t *testing.T) {
	f := core.NewMemory("m", make([]byte, 10))
	defer f.Close()
	var p *core.Pin
	superseded := core.PinSuperseded(f, func() { p = pinned(t, f, 0, 10) }, func() {
		stacks := make([]byte, MiB)
		testutil.WaitUntil(t, "the pin waits for the list", func() bool {
			all := string(stacks[:runtime.Stack(stacks, true)])
			for g := range strings.SplitSeq(all, "\n\n") {
				if strings.Contains(g, "[sync.Mutex.Lock") && strings.Contains(g, "(*File).Pin(") {
					return true
				}
			}
			return false
		})
	})
	if got := core.Generation(p); got <= superseded {
		t.Errorf("the pin is of generation %d, which %d had superseded", got, superseded+1)
	}
	p.Release()
}

// A change waits for the pins that were taken before it published, and for none
// of those that were taken between that and its looking at the lists.
func TestChangeWaitsForEarlierPinsOnly(t *testing.T) {
	rng := testutil.Rand(t)
	for range 200 {
		f := core.NewMemory("m", make([]byte, 10))
		var all []*core.Pin
		earlier := make(map[*core.Pin]bool)
		take := func(early bool) {
			for range rng.IntN(20) {
				p := pinned(t, f, 0, 10)
				all = append(all, p)
				if early {
					earlier[p] = true
				}
			}
		}
		release := func() {
			i := rng.IntN(len(all))
			all[i].Release()
			delete(earlier, all[i])
			all = append(all[:i], all[i+1:]...)
		}
		share := func() { // as old as the pin that it is a part of
			of := all[rng.IntN(len(all))]
			part, err := of.Slice(0, of.Len())
			check(t, err)
			all = append(all, part)
			if earlier[of] {
				earlier[part] = true
			}
		}
		take(true)
		core.Supersede(f)
		take(true)
		core.Supersede(f)
		take(false)
		for range len(all) / 3 {
			share()
		}
		for range len(all) / 3 {
			release()
		}
		held := core.AwaitEarlierPins(f)
		take(false)
		for {
			if got := held(); got != (len(earlier) > 0) {
				t.Fatalf("waiting: %v, with %d earlier pins and %d in all", got, len(earlier), len(all))
			}
			if len(all) == 0 {
				break
			}
			if rng.IntN(3) == 0 {
				share()
			}
			release()
		}
		check(t, f.Close())
	}
}
