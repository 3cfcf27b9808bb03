package sys

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/internal/sys/systest"
)

// What is stored through a shared mapping, or by a write, LoadAt reads at once and
// after the pages have been dropped: on each file system that CanLoad knows.
func TestLoadsAreCoherent(t *testing.T) {
	onCoherent(t, CanLoad, func(t *testing.T, f *os.File, m *Mapping) {
		const size = coherentSize
		storeAtRandom(t, f, m, 2, f.WriteAt, func(step int, want []byte, off, n int64) {
			from := max(off-5000, 0)
			got := make([]byte, min(off+n+5000, size)-from)
			if n, err := LoadAt(f.Fd(), got, from); n != len(got) || err != nil || !bytes.Equal(got, want[from:from+int64(len(got))]) {
				t.Fatalf("step %d: %d of %d bytes at %d, %v, or other ones", step, n, len(got), from, err)
			}
		})
	})
}

// Signals and short reads are gone on with, the end of the file ends a read
// without an error, and all else is returned with the number of bytes before it.
func TestLoadAtGoesOn(t *testing.T) {
	f := openStored(t, t.TempDir(), 1000, 0)
	want := []byte("some bytes to read")
	if _, err := f.WriteAt(want, 500); err != nil {
		t.Fatal(err)
	}
	calls := 0
	before := beforePread
	defer func() { beforePread = before }()
	beforePread = func(n int) (int, error) {
		switch calls++; calls % 3 {
		case 0:
			return 0, unix.EINTR
		case 1:
			return min(n, 3), nil
		}
		return min(n, 1), nil
	}
	got := make([]byte, len(want))
	if n, err := LoadAt(f.Fd(), got, 500); n != len(want) || err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d, %v, %q", n, err, got)
	}
	if n, err := LoadAt(f.Fd(), make([]byte, 10), 995); n != 5 || err != nil {
		t.Errorf("at the end: %d, %v, want 5", n, err)
	}
	for _, want := range []error{unix.EIO, unix.EPERM} {
		calls = 0
		beforePread = func(n int) (int, error) {
			if calls++; calls == 1 {
				return 4, nil
			}
			return 0, want
		}
		if n, err := LoadAt(f.Fd(), got, 500); n != 4 || err != want {
			t.Errorf("%d, %v, want 4, %v", n, err, want)
		}
	}
}

// A descriptor that goes past the page cache or cannot read, and a file in memory:
// no loads.
func TestCanLoad(t *testing.T) {
	f := openStored(t, t.TempDir(), 1000, 0)
	if !CanLoad(f.Fd()) {
		t.Skip("no file system here that CanLoad knows")
	}
	for name, flag := range map[string]int{"O_DIRECT": os.O_RDWR | unix.O_DIRECT, "write-only": os.O_WRONLY} {
		g, err := os.OpenFile(f.Name(), flag, 0)
		if errors.Is(err, unix.EINVAL) {
			continue // no O_DIRECT here
		}
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		if CanLoad(g.Fd()) {
			t.Errorf("%s: CanLoad is true", name)
		}
	}
	memory, err := NewShared("memory")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	if CanLoad(memory.Fd()) || CanLoad(^uintptr(0)) {
		t.Error("CanLoad is true for memory, or for a file that is not there")
	}
}

// LoadNow reads what is in memory, and leaves what is not, or may not be, to LoadAt.
func TestLoadNow(t *testing.T) {
	f := openStored(t, t.TempDir(), 64<<10, 0)
	want := []byte("some bytes to read")
	if _, err := f.WriteAt(want, 40_000); err != nil {
		t.Fatal(err)
	}
	if n, _, _ := LoadNow(f.Fd(), make([]byte, 1), 0); !CanLoad(f.Fd()) || n == 0 {
		t.Skip("no file system here that CanLoad knows, or no reads that do not wait")
	}
	type result struct {
		n    int
		left bool
		err  error
	}
	look := func(length int, off int64) result {
		b := make([]byte, length)
		n, left, err := LoadNow(f.Fd(), b, off)
		if n == len(want) && !bytes.Equal(b[:n], want) {
			t.Errorf("%q, want %q", b[:n], want)
		}
		return result{n, left, err}
	}
	for _, c := range []struct {
		what   string
		length int
		off    int64
		want   result
	}{
		{"in memory", len(want), 40_000, result{len(want), false, nil}},
		{"nothing", 0, 40_000, result{}},
		{"up to the end and beyond", 100, 64<<10 - 10, result{10, true, nil}}, // LoadAt will find the end
		{"behind the end", 100, 1 << 40, result{0, true, nil}},                // the same
	} {
		if got := look(c.length, c.off); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
	t.Run("not in memory", func(t *testing.T) {
		if err := errors.Join(f.Sync(), systest.Evict(f)); err != nil {
			t.Fatal(err)
		}
		// The look begins to read it, which a device may end at once.
		if got := look(len(want), 40_000); got != (result{0, true, nil}) && got != (result{len(want), false, nil}) {
			t.Errorf("%v, want all of it left", got)
		}
		if n, err := LoadAt(f.Fd(), make([]byte, len(want)), 40_000); n != len(want) || err != nil {
			t.Errorf("LoadAt: %d, %v", n, err)
		}
	})
	t.Run("without the call", func(t *testing.T) {
		defer Disable(CallReadNowait)()
		if got := look(len(want), 40_000); got != (result{0, true, nil}) {
			t.Errorf("%v, want all of it left", got)
		}
	})
}
