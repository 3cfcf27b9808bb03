package invariant_test

import (
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/internal/invariant"
)

func TestCheck(t *testing.T) {
	check := func(cond bool) (recovered any) {
		defer func() { recovered = recover() }()
		invariant.Check(cond, "%d queued", 3)
		return nil
	}
	if r := check(true); r != nil {
		t.Errorf("an invariant that holds: panic %v", r)
	}
	r := check(false)
	if !invariant.Enabled {
		if r != nil {
			t.Errorf("without the tag: panic %v", r)
		}
		return
	}
	if s, _ := r.(string); !strings.HasSuffix(s, ": 3 queued") {
		t.Errorf("an invariant that does not hold: panic %v", r)
	}
}
