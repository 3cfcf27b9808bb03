package sys

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

// newSmallDisk is a file on a tmpfs of the given size, 0 for no limit.
func newSmallDisk(t *testing.T, size int64) *os.File {
	t.Helper()
	dir := testutil.LoopDisk(t, size, "tmpfs")
	f, err := os.Create(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestDiskFull(t *testing.T) {
	page := PageSize()
	for name, features := range populating {
		t.Run(name, func(t *testing.T) {
			f := newSmallDisk(t, 8*page)
			if err := Truncate(f, 32*page); err != nil {
				t.Fatal(err)
			}
			m, err := Map(f, MapOptions{Access: ReadWrite, Len: 32 * page})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Unmap()
			withoutAll(t, features)
			if err := m.Populate(0, 2*page, true); err != nil {
				t.Errorf("Populate of what fits: %v", err)
			}
			if err := m.Populate(0, 32*page, true); !errors.Is(err, ErrFault) {
				t.Errorf("Populate of what does not fit: %v, want ErrFault", err)
			}
			if got := fileLen(t, f); got != 32*page {
				t.Errorf("populating has changed the file's length to %d", got)
			}
		})
	}
	f := newSmallDisk(t, 8*page)
	if err := Allocate(f, 0, 32*page); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Allocate of what does not fit: %v, want %v", err, unix.ENOSPC)
	}
	if n, err := FreeSpace(f); err != nil || n > 8*page {
		t.Errorf("FreeSpace = %d, %v, want at most %d", n, err, 8*page)
	}
	if err := Allocate(f, 0, 4*page); err != nil {
		t.Error(err)
	}
	if n, err := Allocated(f); err != nil || n != 4*page {
		t.Errorf("Allocated = %d, %v, want %d", n, err, 4*page)
	}
}

// Holes get blocks, and the file keeps its length, also when it has become
// shorter than the range.
func TestFillHoles(t *testing.T) {
	page := PageSize()
	f := newSmallDisk(t, 64*page)
	if err := Truncate(f, 8*page); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{0, 4 * page, 16 * page} {
		if err := FillHoles(f, 0, n); err != nil {
			t.Errorf("FillHoles of %d bytes: %v", n, err)
		}
		if got, err := Allocated(f); err != nil || got < min(n, 8*page) {
			t.Errorf("Allocated = %d, %v, want %d at least", got, err, n)
		}
		if got := fileLen(t, f); got != 8*page {
			t.Errorf("the file has %d bytes, want %d", got, 8*page)
		}
	}
	if err := FillHoles(f, 0, 128*page); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("FillHoles of what does not fit: %v, want %v", err, unix.ENOSPC)
	}
	defer Disable(CallFallocate)()
	if err := FillHoles(f, 0, page); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("FillHoles without the call = %v, want ErrUnsupported", err)
	}
}

// A disk without a limit says that it has no blocks at all.
func TestFreeSpaceWithoutALimit(t *testing.T) {
	if n, err := FreeSpace(newSmallDisk(t, 0)); err != nil || n != math.MaxInt64 {
		t.Errorf("FreeSpace = %d, %v, want %d", n, err, int64(math.MaxInt64))
	}
}

func TestFreeSpaceOverflow(t *testing.T) {
	for _, tt := range []struct {
		s    space
		want int64
	}{
		{space{1 << 60, 1 << 60, 4096}, math.MaxInt64},
		{space{math.MaxUint64 - 9, math.MaxUint64 - 9, 4096}, 0}, // -10
		{space{10, 10, 0}, math.MaxInt64},
		{space{10, 10, 4096}, 40960},
	} {
		if got := tt.s.bytes(); got != tt.want {
			t.Errorf("%+v has %d bytes, want %d", tt.s, got, tt.want)
		}
	}
}
