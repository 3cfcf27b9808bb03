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
			for _, g := range strings.Split(all, "\n\n") {
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
