package core_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"unsafe"

	"github.com/fmmap-go/fmmap/core"
)

// shaping are the changes of a file that is 64 KiB long and has 100 KiB of
// room, in any order.
var shaping = []struct {
	name string
	do   func(f *core.File, base int64) error // base is the file's length when its window has none
	// size of the window afterwards, 0 for no change; freezes, closes: what
	// comes later is refused.
	size            int64
	freezes, closes bool
}{
	{name: "grow", do: func(f *core.File, base int64) error { return f.Truncate(base + 80*KiB) }, size: 80 * KiB},
	{name: "grow past the room", do: func(f *core.File, base int64) error { return f.Truncate(base + MiB) }, size: MiB},
	{name: "shrink", do: func(f *core.File, base int64) error { return f.Truncate(base + 10*KiB) }, size: 10 * KiB},
	{name: "freeze", do: func(f *core.File, _ int64) error { return f.Freeze() }, freezes: true},
	{name: "freeze for execution", do: func(f *core.File, _ int64) error { return f.FreezeExec() }, freezes: true},
	{name: "close at a length", do: func(f *core.File, base int64) error { return f.CloseTruncate(base + 5) }, size: 5, closes: true},
}

// orders are the permutations of 0 to n-1.
func orders(n int) (all [][]int) {
	if n == 0 {
		return [][]int{nil}
	}
	for _, o := range orders(n - 1) {
		for i := range n {
			all = append(all, slices.Insert(slices.Clone(o), i, n-1))
		}
	}
	return all
}

// The changes are asked for in every order while pins are held: the pinned
// bytes stay where and what they are, and once the pins have gone each change
// has the outcome that its place in the order gives it.
func TestChangesInEveryOrderWithPinsHeld(t *testing.T) {
	every := len(resizable) // the back ends share them
	if testing.Short() {
		every *= 5
	}
	for i, b := range resizable {
		for k, order := range orders(len(shaping)) {
			if k%every != i {
				continue
			}
			var names []string
			for _, i := range order {
				names = append(names, shaping[i].name)
			}
			t.Run(b.name+"/"+strings.Join(names, ", "), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { inOrder(t, b.open(t, pattern(64*KiB, 1), 36*KiB), order) })
			})
		}
	}
}

func inOrder(t *testing.T, f *core.File, order []int) {
	base, execs := sizeOf(t, f, 0), freezesExec(f)
	low, high := pinned(t, f, 0, 10), pinned(t, f, 60*KiB, 4*KiB)
	lowAt, highAt := unsafe.SliceData(low.Bytes()), unsafe.SliceData(high.Bytes())
	outcomes := make([]chan error, len(order))
	for n, i := range order {
		outcomes[n] = make(chan error, 1)
		go func() { outcomes[n] <- shaping[i].do(f, base) }()
		synctest.Wait()
	}
	want := pattern(64*KiB, 1)
	if unsafe.SliceData(low.Bytes()) != lowAt || unsafe.SliceData(high.Bytes()) != highAt ||
		!bytes.Equal(low.Bytes(), want[:10]) || !bytes.Equal(high.Bytes(), want[60*KiB:]) {
		t.Error("pinned bytes moved or changed")
	}
	high.Release()
	low.Release()
	size, frozen, closed := int64(64*KiB), false, false
	for n, i := range order {
		c := shaping[i]
		never := c.name == "freeze for execution" && !execs
		var want error
		switch {
		case closed:
			want = fs.ErrClosed
		case never:
			want = errors.ErrUnsupported
		case frozen && !c.freezes:
			want = core.ErrReadOnly
		default:
			frozen, closed = frozen || c.freezes, closed || c.closes
			if c.size > 0 {
				size = c.size
			}
		}
		// Of what a closed file refuses in any case either may be said.
		if err := <-outcomes[n]; !errors.Is(err, want) && !(closed && never && errors.Is(err, errors.ErrUnsupported)) {
			t.Errorf("%s: %v, want %v", c.name, err, want)
		}
	}
	if !closed {
		if f.Len() != size {
			t.Errorf("the window has %d bytes, want %d", f.Len(), size)
		}
		check(t, f.Close())
	}
	if fi, err := os.Stat(f.Name()); err == nil && fi.Size() != base+size {
		t.Errorf("the file has %d bytes, want %d", fi.Size(), base+size)
	}
}
