package core_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"unsafe"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// A part of a pin is a pin of its own: of the same bytes, at the same address,
// and held after the pin that it was taken of.
func TestSliceOfAPin(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		want := pattern(1000, 1)
		f := b.open(t, want)
		p := shortPin(t, f, 100, 200)
		part, err := p.Slice(10, 20)
		check(t, err)
		all, err := part.Slice(0, part.Len())
		check(t, err)
		if part.Offset() != 110 || part.Len() != 20 || &part.Bytes()[0] != &p.Bytes()[10] || cap(part.Bytes()) != 20 {
			t.Errorf("the part is %v, of capacity %d", part, cap(part.Bytes()))
		}
		for _, r := range [][2]int64{{-1, 1}, {0, -1}, {0, 101}, {101, 0}, {100, 1}, {1, 1<<63 - 1}} {
			_, err := p.Slice(r[0], r[1])
			wantError(t, f, fmt.Sprint("Slice", r), err, core.ErrRange)
		}
		empty, err := p.Slice(100, 0)
		check(t, err)
		empty.Release()
		ready := false
		c, err := f.StartClose(func(*core.Change) { ready = true })
		check(t, err)
		p.Release()
		p.Release()
		_, err = p.Slice(0, 1)
		wantError(t, f, "Slice after Release", err, fs.ErrClosed)
		late, err := part.Slice(0, 1)
		check(t, err)
		part.Release()
		late.Release()
		if ready {
			t.Error("closing did not wait for a part of a part")
		}
		if !bytes.Equal(all.Bytes(), want[110:130]) {
			t.Error("the bytes of a part differ")
		}
		all.Release()
		if !ready {
			t.Error("the last part did not end the wait")
		}
		check(t, c.Finish())
	})
}

// A part keeps a region mapped that growth has replaced.
func TestSliceOfAPinInARetiredRegion(t *testing.T) {
	f := opened(t, tempFile(t, pattern(64*KiB, 1)), core.Options{Access: core.ReadWrite, Reserve: 64 * KiB})
	p := shortPin(t, f, 0, 64*KiB)
	check(t, f.Truncate(8*MiB))
	part, err := p.Slice(KiB, KiB)
	check(t, err)
	p.Release()
	if !bytes.Equal(part.Bytes(), pattern(64*KiB, 1)[KiB:2*KiB]) {
		t.Error("the bytes of the part differ")
	}
	if n := core.Retired(f); n != 1 {
		t.Errorf("%d regions are retired while a part is held, want 1", n)
	}
	part.Release()
	if n := core.Retired(f); n != 0 {
		t.Errorf("%d regions are retired after the last part, want 0", n)
	}
}

// Extend returns a pin of the grown window, reports whether the address is
// another one, and releases the old pin; when it fails, it does not.
func TestExtend(t *testing.T) {
	for _, c := range []struct {
		name  string
		room  int64
		moved bool
	}{{"in place", 16 * MiB, false}, {"to another region", 64 * KiB, true}} {
		t.Run(c.name, func(t *testing.T) {
			if !c.moved && !sys.CanReserve {
				t.Skip("no address space is reserved here: every growth moves the window")
			}
			f := opened(t, tempFile(t, pattern(64*KiB, 1)), core.Options{Access: core.ReadWrite, Reserve: c.room})
			p := shortPin(t, f, KiB, 64*KiB)
			first := p
			before := unsafe.Pointer(&p.Bytes()[0])
			_, _, err := p.Extend(64 * KiB)
			wantError(t, f, "Extend beyond the window", err, core.ErrRange)
			check(t, f.Truncate(8*MiB))
			p, moved, err := p.Extend(f.Len() - KiB)
			check(t, err)
			if moved != c.moved || (unsafe.Pointer(&p.Bytes()[0]) != before) != c.moved {
				t.Errorf("moved: %v, want %v", moved, c.moved)
			}
			if p.Offset() != KiB || p.Len() != 8*MiB-KiB || !bytes.Equal(p.Bytes()[:63*KiB], pattern(64*KiB, 1)[KiB:]) {
				t.Errorf("the pin is %v, or its bytes differ", p)
			}
			if first.Bytes() != nil || core.Retired(f) != 0 {
				t.Error("the old pin was not released")
			}
			_, _, err = first.Extend(1)
			wantError(t, f, "Extend after Release", err, fs.ErrClosed)
			closing, err := f.StartClose(nil)
			check(t, err)
			same, _, err := p.Extend(10)
			wantError(t, f, "Extend while closing", err, fs.ErrClosed)
			if same != p || p.Bytes() == nil {
				t.Error("a failed Extend did not keep the pin")
			}
			p.Release()
			check(t, closing.Finish())
		})
	}
}

// A file is in use while a Close would wait, or forget a failed flush.
func TestInUse(t *testing.T) {
	f := opened(t, tempFile(t, pattern(2*KiB, 1)), core.Options{Access: core.ReadWrite, Reserve: MiB, Sparse: true})
	inUse := func(want bool, when string) {
		t.Helper()
		if f.InUse() != want {
			t.Errorf("%s: in use is %v", when, !want)
		}
	}
	inUse(false, "after opening")
	p := pinned(t, f, KiB, 10)
	inUse(true, "with a pin")
	part, err := p.Slice(1, 2)
	check(t, err)
	p.Release()
	inUse(true, "with a part of a released pin")
	c, err := f.StartTruncate(KiB, nil)
	check(t, err)
	part.Release()
	if !sys.ShrinkNeedsUnmap { // there the last use performs it
		inUse(true, "with a change that could end")
	}
	check(t, c.Finish())
	inUse(false, "after the change")
	check(t, f.View(func([]byte) error { inUse(true, "within View"); return nil }))
	check(t, f.Truncate(MiB))
	p = pinned(t, f, 0, 1)
	check(t, f.Truncate(64*MiB)) // in another region
	inUse(true, "with a pin in a retired region")
	p.Release()
	inUse(false, "after all pins")
	restore := sys.Inject(func(op sys.Op) error {
		if op == sys.OpMsync {
			return errors.New("injected")
		}
		return nil
	})
	err = f.Flush()
	restore()
	if !errors.Is(err, core.ErrFlushFailed) {
		t.Errorf("Flush: %v", err)
	}
	inUse(true, "after a failed flush")
	check(t, f.Close())
	inUse(false, "after Close")
}
