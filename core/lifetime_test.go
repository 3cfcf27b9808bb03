package core_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"unsafe"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// resizable are the back ends that a window can grow and shrink on.
var resizable = []struct {
	name string
	open func(t testing.TB, b []byte, reserve int64) *core.File
}{
	{"disk", func(t testing.TB, b []byte, reserve int64) *core.File {
		return opened(t, tempFile(t, b), core.Options{Access: core.ReadWrite, Reserve: reserve})
	}},
	{"sparse", func(t testing.TB, b []byte, reserve int64) *core.File {
		return opened(t, tempFile(t, b), core.Options{Access: core.ReadWrite, Reserve: reserve, Sparse: true})
	}},
	{"offset", func(t testing.TB, b []byte, reserve int64) *core.File {
		name := tempFile(t, append(make([]byte, 5001), b...))
		f := opened(t, name, core.Options{Access: core.ReadWrite, Reserve: reserve, Offset: 5001})
		return f
	}},
	{"memory", func(t testing.TB, b []byte, reserve int64) *core.File {
		f := core.NewMemory("memory", append(make([]byte, 0, int64(len(b))+reserve), b...))
		t.Cleanup(func() { _ = f.Close() })
		return f
	}},
	{"anonymous", func(t testing.TB, b []byte, reserve int64) *core.File {
		f, err := core.NewAnonymous(int64(len(b)), core.Options{Reserve: reserve})
		check(t, err)
		_, err = f.WriteAt(b, 0)
		check(t, err)
		t.Cleanup(func() { _ = f.Close() })
		return f
	}},
}

// sizeOf is the argument of Truncate that gives the window n bytes.
func sizeOf(t testing.TB, f *core.File, n int64) int64 {
	t.Helper()
	fi, err := f.Stat()
	check(t, err)
	return fi.Size() - f.Len() + n
}

func TestPinKeepsItsBytesInGrowth(t *testing.T) {
	for _, b := range resizable {
		t.Run(b.name, func(t *testing.T) {
			if b.name == "anonymous" && !sys.CanReserve {
				t.Skip("without a reservation, memory moves when it is not in use")
			}
			want := pattern(64*KiB, 1)
			f := b.open(t, want, MiB)
			p := pinned(t, f, 100, 1000)
			at := unsafe.SliceData(p.Bytes())
			check(t, f.Truncate(sizeOf(t, f, 512*KiB))) // within the reservation
			if f.Len() != 512*KiB {
				t.Fatalf("length %d after growing", f.Len())
			}
			if unsafe.SliceData(p.Bytes()) != at || !bytes.Equal(p.Bytes(), want[100:1100]) {
				t.Fatal("the pinned bytes moved or changed")
			}
			q := pinned(t, f, 100, 1000)
			if unsafe.SliceData(q.Bytes()) != at && (sys.CanReserve || b.name == "memory") {
				t.Fatal("growing within the reservation moved the window")
			}
			check(t, f.View(func(v []byte) error {
				if !bytes.Equal(v[:len(want)], want) || !bytes.Equal(v[len(want):], make([]byte, len(v)-len(want))) {
					t.Error("the grown window differs")
				}
				return nil
			}))
		})
	}
}

// A region that growth has replaced and that cannot be unmapped is an error of
// Close, which goes on all the same.
func TestCloseReportsThatARetiredRegionStaysMapped(t *testing.T) {
	if sys.ShrinkNeedsUnmap {
		t.Skip("a file with a mapping that stays cannot be removed here, and would be left")
	}
	f := opened(t, tempFile(t, pattern(64*KiB, 2)), core.Options{Access: core.ReadWrite, Reserve: 1})
	unmappings := failing(t, sys.OpMunmap, 1, syscall.EIO)
	for n := int64(128 * KiB); unmappings() == 0; n *= 2 {
		if n > 64*MiB {
			t.Skip("growth moves no window here")
		}
		check(t, f.Truncate(n))
	}
	if err := f.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("Close: got %v, want %v", err, syscall.EIO)
	}
	if n := unmappings(); n < 2 {
		t.Errorf("%d regions were unmapped, want that of the window as well", n)
	}
}

func TestPinKeepsItsBytesPastTheReservation(t *testing.T) {
	want := pattern(64*KiB, 2)
	f := opened(t, tempFile(t, want), core.Options{Access: core.ReadWrite, Reserve: 1})
	p := pinned(t, f, 100, 1000)
	at := unsafe.SliceData(p.Bytes())
	for n := int64(128 * KiB); n <= 8*MiB; n *= 2 {
		check(t, f.Truncate(n))
	}
	if unsafe.SliceData(p.Bytes()) != at || !bytes.Equal(p.Bytes(), want[100:1100]) {
		t.Fatal("the pinned bytes moved or changed")
	}
	// Both regions show the same file.
	_, err := f.WriteAt([]byte("through the new region"), 200)
	check(t, err)
	if got := string(p.Bytes()[100:122]); got != "through the new region" {
		t.Fatalf("the pin shows %q", got)
	}
	copy(p.Bytes(), "through the pin")
	got := make([]byte, 15)
	_, err = f.ReadAt(got, 100)
	check(t, err)
	if string(got) != "through the pin" {
		t.Fatalf("the file shows %q", got)
	}
	check(t, f.Flush())
}

func TestShrinkWaitsForPinsBeyondTheNewEnd(t *testing.T) {
	for _, b := range resizable {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				want := pattern(64*KiB, 3)
				f := b.open(t, want, MiB)
				low, high := pinned(t, f, 0, 10*KiB), pinned(t, f, 30*KiB, 10*KiB)
				done := make(chan error, 1)
				size := sizeOf(t, f, 10*KiB)
				go func() { done <- f.Truncate(size) }()
				synctest.Wait()
				select {
				case err := <-done:
					t.Fatalf("shrank under a pin: %v", err)
				default:
				}
				if f.Len() != 10*KiB {
					t.Errorf("new operations see %d bytes", f.Len())
				}
				if _, err := f.Pin(0, 10*KiB+1); !errors.Is(err, core.ErrRange) {
					t.Errorf("a new pin beyond the new end: %v", err)
				}
				if !bytes.Equal(high.Bytes(), want[30*KiB:40*KiB]) {
					t.Error("the pinned bytes changed")
				}
				high.Release()
				if everyPinBlocks(f) {
					low.Release()
				}
				check(t, <-done) // low does not stand in the way
				if !everyPinBlocks(f) && !bytes.Equal(low.Bytes(), want[:10*KiB]) {
					t.Error("the bytes before the new end changed")
				}
				// What comes back is zero.
				check(t, f.Truncate(sizeOf(t, f, 64*KiB)))
				got := make([]byte, 54*KiB)
				_, err := f.ReadAt(got, 10*KiB)
				check(t, err)
				if !bytes.Equal(got, make([]byte, len(got))) {
					t.Error("bytes that were cut off came back")
				}
			})
		})
	}
}

func TestShrinkWaitsForRunningOperations(t *testing.T) {
	for _, b := range resizable {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := b.open(t, pattern(64*KiB, 4), MiB)
				size := sizeOf(t, f, 0)
				inside, leave := make(chan bool), make(chan bool)
				go f.View(func(v []byte) error {
					close(inside)
					<-leave
					if v[64*KiB-1] != pattern(64*KiB, 4)[64*KiB-1] {
						t.Error("the bytes of a View changed")
					}
					return nil
				})
				<-inside
				done := make(chan error, 1)
				go func() { done <- f.Truncate(size) }()
				synctest.Wait()
				select {
				case err := <-done:
					t.Fatalf("shrank under a View: %v", err)
				default:
				}
				close(leave)
				check(t, <-done)
			})
		})
	}
}

func TestTruncateContextLeavesAllAsItWas(t *testing.T) {
	for _, b := range resizable {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				want := pattern(64*KiB, 5)
				f := b.open(t, want, MiB)
				p := pinned(t, f, 60*KiB, 4*KiB)
				ctx, cancel := context.WithCancelCause(context.Background())
				why := errors.New("changed my mind")
				done := make(chan error, 1)
				size := sizeOf(t, f, 10)
				go func() { done <- f.TruncateContext(ctx, size) }()
				synctest.Wait()
				cancel(why)
				if err := <-done; !errors.Is(err, why) {
					t.Fatalf("got %v, want the cause", err)
				}
				if f.Len() != 64*KiB || !bytes.Equal(p.Bytes(), want[60*KiB:]) {
					t.Fatal("length or bytes changed")
				}
				if !bytes.Equal(contents(t, f), want) {
					t.Fatal("contents changed")
				}
				// The next change is not held up by the one that was given up.
				p.Release()
				check(t, f.Truncate(size))
			})
		})
	}
}

// Memory cannot be in two places, so past its capacity it waits until it is not
// in use; but a holder of a pin must be able to go on meanwhile.
func TestMemoryMovesOnlyWhenUnused(t *testing.T) {
	for _, b := range resizable[3:] {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				want := pattern(64*KiB, 6)
				f := b.open(t, want, 1)
				p := pinned(t, f, 0, 10)
				done := make(chan error, 1)
				go func() { done <- f.Truncate(8 * MiB) }()
				synctest.Wait()
				_, err := f.WriteAt([]byte("meanwhile"), 0)
				check(t, err)
				q := pinned(t, f, 0, 20)
				p.Release()
				synctest.Wait()
				select {
				case err := <-done:
					t.Fatalf("moved under a pin: %v", err)
				default:
				}
				inside, leave := make(chan bool), make(chan bool)
				go f.Update(func(v []byte) error {
					close(inside)
					<-leave
					v[9] = '!' // lost, if the bytes had moved
					return nil
				})
				<-inside
				q.Release()
				synctest.Wait()
				select {
				case err := <-done:
					t.Fatalf("moved under an Update: %v", err)
				default:
				}
				close(leave)
				check(t, <-done)
				copy(want, "meanwhile!")
				if !bytes.Equal(contents(t, f), append(want, make([]byte, 8*MiB-len(want))...)) {
					t.Error("the bytes did not move along")
				}
			})
		})
	}
}

// Memory that has to move waits for the use of its window, which may be the
// caller's own callback: then growing fails at once, and changes nothing.
func TestMemoryDoesNotWaitForItsCallersCallback(t *testing.T) {
	for _, b := range resizable[3:] {
		t.Run(b.name, func(t *testing.T) {
			f := b.open(t, pattern(64*KiB, 1), 1)
			p := pinned(t, f, 0, 10)
			for name, use := range map[string]func(func([]byte) error) error{"View": f.View, "Update": f.Update, "Do": p.Do} {
				if err := use(func([]byte) error { return f.Truncate(8 * MiB) }); !errors.Is(err, core.ErrInUse) {
					t.Errorf("growing in %s: %v", name, err)
				}
				err := use(func([]byte) error { return f.TruncateContext(context.Background(), 8*MiB) })
				if !errors.Is(err, core.ErrInUse) || f.Len() != 64*KiB {
					t.Errorf("growing in %s with a context: %v, length %d", name, err, f.Len())
				}
			}
			p.Release()
			other := core.NewMemory("other", make([]byte, 10))
			check(t, other.View(func([]byte) error { return f.Truncate(8 * MiB) })) // need not wait
			if got := contents(t, f)[:64*KiB]; !bytes.Equal(got, pattern(64*KiB, 1)) {
				t.Error("the bytes changed")
			}
		})
	}
}

func TestEmptyFiles(t *testing.T) {
	needsFiles(t)
	name := filepath.Join(t.TempDir(), "empty")
	f, err := core.Create(name, 0)
	check(t, err)
	check(t, f.View(func(b []byte) error {
		if b == nil || len(b) != 0 {
			t.Errorf("View of an empty file got %v", b)
		}
		return nil
	}))
	p := pinned(t, f, 0, 0)
	check(t, f.Flush())
	check(t, f.Truncate(100))
	_, err = f.WriteAt([]byte("x"), 99)
	check(t, err)
	if everyPinBlocks(f) {
		p.Release()
	}
	check(t, f.Truncate(0))
	p.Release()
	check(t, f.Close())

	r := opened(t, name, core.Options{})
	if r.Len() != 0 {
		t.Fatalf("length %d", r.Len())
	}
	check(t, os.WriteFile(name, []byte("now it has some"), 0o644))
	if n, err := r.Refresh(); n != 15 || err != nil {
		t.Fatalf("Refresh: %d, %v", n, err)
	}
}
