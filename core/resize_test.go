package core_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// A Truncate in which any system call fails leaves file, length, bytes and pins
// as they were.
func TestTruncateWhenACallFails(t *testing.T) {
	for _, b := range resizable {
		for _, op := range []sys.Op{sys.OpMmap, sys.OpTruncate, sys.OpFallocate, sys.OpMadvise} {
			for _, n := range []int64{10, 100 * KiB, 4 * MiB} {
				t.Run(b.name+"/"+string(op), func(t *testing.T) {
					want := pattern(64*KiB, 1)
					f := b.open(t, want, 1)
					if everyPinBlocks(f) && op == sys.OpMmap {
						t.Skip("what is unmapped to be cut cannot be mapped again when mapping fails")
					}
					before := sizeOf(t, f, f.Len())
					p := pinned(t, f, 0, 10)
					size := sizeOf(t, f, n)
					calls := failing(t, op, 0, syscall.EIO)
					if f.Fd() == ^uintptr(0) && n > 64*KiB || everyPinBlocks(f) && n < 64*KiB {
						p.Release() // memory moves only when it is not in use
					}
					err := f.Truncate(size)
					failing(t, "", 0, nil)
					if err == nil {
						if calls() > 0 && op != sys.OpMmap && op != sys.OpFallocate {
							t.Errorf("%d calls failed unseen", calls())
						}
						return
					}
					if !errors.Is(err, syscall.EIO) {
						t.Errorf("got %v", err)
					}
					if f.Len() != 64*KiB || sizeOf(t, f, f.Len()) != before || !bytes.Equal(contents(t, f), want) {
						t.Error("the file changed")
					}
					check(t, f.Truncate(size)) // and it works when asked again
				})
			}
		}
	}
}

// What is handed out ends with the window: an append makes a copy, and does not
// write behind it, where the bytes would come to light when the file grows.
func TestSlicesEndAtTheWindow(t *testing.T) {
	for _, b := range resizable {
		f := b.open(t, pattern(1000, 1), MiB)
		check(t, f.Update(func(b []byte) error { _ = append(b, "behind"...); return nil }))
		p := pinned(t, f, 900, 100)
		_ = append(p.Bytes(), "behind"...)
		if everyPinBlocks(f) {
			p.Release()
		}
		check(t, f.Truncate(sizeOf(t, f, 2000)))
		if got := contents(t, f)[1000:]; !bytes.Equal(got, make([]byte, 1000)) {
			t.Errorf("%s: bytes came to light: %q", b.name, got[:10])
		}
	}
}

// More memory than there is returns an error, and does not end the process.
func TestTruncateOfMemoryPastWhatThereIs(t *testing.T) {
	sizes := []int64{1 << 62} // what no address space holds
	if accountsForMemory() {
		sizes = append(sizes, 1<<46)
	}
	for _, b := range resizable {
		want := pattern(64*KiB, 1)
		f := b.open(t, want, 1)
		for _, n := range sizes {
			if f.Fd() != ^uintptr(0) {
				break
			}
			if err := f.Truncate(n); err == nil {
				t.Errorf("%s has %d bytes", b.name, f.Len())
			}
		}
		if !bytes.Equal(contents(t, f), want) {
			t.Errorf("%s: the bytes changed", b.name)
		}
	}
}

func TestTruncateRefusals(t *testing.T) {
	name := tempFile(t, pattern(1000, 1))
	for _, a := range []core.Access{core.ReadOnly, core.CopyOnWrite, core.ReadExec} {
		f := opened(t, name, core.Options{Access: a})
		if err := f.Truncate(10); !errors.Is(err, core.ErrReadOnly) {
			t.Errorf("%v: %v", a, err)
		}
		if err := f.CloseTruncate(10); !errors.Is(err, core.ErrReadOnly) {
			t.Errorf("CloseTruncate, %v: %v", a, err)
		}
		check(t, f.Close())
	}
	f := opened(t, name, core.Options{Access: core.ReadWrite})
	for _, size := range []int64{-1, math.MinInt64} {
		if err := f.Truncate(size); !errors.Is(err, core.ErrRange) {
			t.Errorf("Truncate(%d): %v", size, err)
		}
	}
	if err := f.Truncate(math.MaxInt64); err == nil {
		t.Error("a file of 8 EiB")
	}
	if f.Len() != 1000 {
		t.Errorf("length %d", f.Len())
	}
}

func TestFixedWindowIsClippedAndComesBack(t *testing.T) {
	want := pattern(200*KiB, 1)
	name := tempFile(t, want)
	f := opened(t, name, core.Options{Access: core.ReadWrite, Offset: 100_000, Length: 50_000})
	p := pinned(t, f, 0, 1000)
	if everyPinBlocks(f) {
		p.Release()
	}
	for _, c := range []struct{ size, want int64 }{{120_000, 20_000}, {101_000, 1000}, {500_000, 50_000}, {150_000, 50_000}, {149_999, 49_999}} {
		check(t, f.Truncate(c.size))
		if fi, err := os.Stat(name); err != nil || fi.Size() != c.size || f.Len() != c.want {
			t.Errorf("Truncate(%d): file %d, window %d, want %d (%v)", c.size, fi.Size(), f.Len(), c.want, err)
		}
	}
	if !everyPinBlocks(f) && !bytes.Equal(p.Bytes(), want[100_000:101_000]) {
		t.Error("the pinned bytes changed")
	}
	p.Release()
	check(t, f.Truncate(10))
	if f.Len() != 0 {
		t.Errorf("a window behind the end has %d bytes", f.Len())
	}
}

func TestRefreshFollowsOthers(t *testing.T) {
	needsCutting(t)
	for _, a := range []core.Access{core.ReadOnly, core.ReadWrite, core.CopyOnWrite} {
		name := tempFile(t, pattern(64*KiB, 1))
		f := opened(t, name, core.Options{Access: a, Reserve: 256 * KiB})
		p := pinned(t, f, 0, 64*KiB)
		for _, n := range []int64{100 * KiB, 300 * KiB, 10, 4 * MiB, 0, 64 * KiB} {
			before := f.Len()
			check(t, os.Truncate(name, n))
			got, err := f.Refresh()
			if a == core.CopyOnWrite && (n == 4*MiB || n > 64*KiB && !sys.CanReserve) {
				if !errors.Is(err, errors.ErrUnsupported) || f.Len() != before {
					t.Errorf("copy-on-write past its room: %d, %v", got, err)
				}
				continue
			}
			if got != n || err != nil || f.Len() != n {
				t.Errorf("%v, file of %d: Refresh gave %d, %v", a, n, got, err)
			}
		}
		p.Release()
	}
}

// Taking up a length gives none: a file that gets shorter at that very moment
// stays so, whatever holes it had.
func TestRefreshLengthensNothing(t *testing.T) {
	needsCutting(t)
	if runtime.GOOS == "freebsd" {
		t.Skip("posix_fallocate gives a file the length of the range")
	}
	name := tempFile(t, pattern(KiB, 1))
	f := opened(t, name, core.Options{Access: core.ReadWrite})
	check(t, os.Truncate(name, MiB))
	during(t, sys.OpFallocate, func() { check(t, os.Truncate(name, 10*KiB)) })
	_, err := f.Refresh()
	check(t, err)
	if n, err := f.Refresh(); n != 10*KiB || err != nil {
		t.Errorf("the file has %d bytes then, %v", n, err)
	}
}

func TestCloseTruncate(t *testing.T) {
	for _, size := range []int64{0, 10, 64 * KiB, MiB} {
		name := tempFile(t, pattern(64*KiB, 1))
		f := opened(t, name, core.Options{Access: core.ReadWrite})
		check(t, f.CloseTruncate(size))
		if fi, err := os.Stat(name); err != nil || fi.Size() != size {
			t.Errorf("closed at %d: the file has %d, %v", size, fi.Size(), err)
		}
	}
}

func TestChangesAreMadeInOrder(t *testing.T) {
	f := core.NewMemory("m", make([]byte, 100, 1000))
	defer f.Close()
	p := pinned(t, f, 0, 100)
	var order []int
	var changes []*core.Change
	for i, size := range []int64{50, 900, 10} {
		c, err := f.StartTruncate(size, func(*core.Change) { order = append(order, i) })
		check(t, err)
		changes = append(changes, c)
	}
	if len(order) != 0 || f.Len() != 50 {
		t.Fatalf("ready %v, length %d, before the pin is released", order, f.Len())
	}
	if !changes[1].Cancel() || changes[1].Cancel() {
		t.Error("a queued change is cancelled once")
	}
	if err := changes[1].Finish(); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled change: %v", err)
	}
	p.Release()
	for _, i := range []int{0, 2} {
		check(t, changes[i].Finish())
		if changes[i].Cancel() {
			t.Error("cancelled what is done")
		}
		check(t, changes[i].Finish())
	}
	if len(order) != 2 || order[0] != 0 || order[1] != 2 || f.Len() != 10 {
		t.Errorf("ready in order %v, length %d", order, f.Len())
	}
}

// What cannot be emptied has the length that it had, also when a longer one was
// tried.
func TestOpenThatCannotEmptyTheFile(t *testing.T) {
	for nth := 1; nth <= 2; nth++ {
		want := pattern(1000, 1)
		name := tempFile(t, want)
		failing(t, sys.OpTruncate, nth, syscall.EIO)
		_, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Truncate: true, Size: 5000})
		failing(t, "", 0, nil)
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("got %v", err)
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("call %d: the file has %d bytes, %v", nth, len(got), err)
		}
	}
}
