package sys

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
)

func contents(t *testing.T, f *os.File) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTruncate(t *testing.T) {
	f := newFile(t, 10)
	for _, size := range []int64{20, 5, 0, 7} {
		if err := Truncate(f, size); err != nil {
			t.Fatal(err)
		}
		if got := fileLen(t, f); got != size {
			t.Errorf("the file has %d bytes, want %d", got, size)
		}
	}
	err := Truncate(f, -1)
	if pe := (*os.PathError)(nil); err == nil || errors.As(err, &pe) {
		t.Errorf("Truncate(-1) = %v, want a bare error", err)
	}
}

func TestAllocate(t *testing.T) {
	page := PageSize()
	for _, tt := range []struct {
		name   string
		size   int64
		off, n int64
	}{
		{"all of it", 3 * page, 0, 3 * page},
		{"longer", page, page, 4 * page},
		{"longer from inside", page + 10, 5, 3 * page},
		{"longer from past the end", page, 3 * page, page},
		{"nothing", page, 0, 0},
		{"an empty file", 0, 0, page},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFile(t, tt.size)
			want := contents(t, f)
			if end := tt.off + tt.n; end > tt.size {
				want = append(want, make([]byte, end-tt.size)...)
			}
			err := Allocate(f, tt.off, tt.n)
			if errors.Is(err, errors.ErrUnsupported) {
				t.Skipf("nothing is allocated ahead here: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(contents(t, f), want) {
				t.Error("bytes have changed, or new ones are not zero")
			}
		})
	}
	f := newFile(t, page)
	if err := Allocate(f, -page, page); err == nil {
		t.Error("a negative offset was taken")
	}
	defer Disable(CallFallocate)()
	if err := Allocate(f, 0, 2*page); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Allocate without the call = %v, want ErrUnsupported", err)
	}
	if got := fileLen(t, f); got != page {
		t.Errorf("the file has %d bytes, want %d", got, page)
	}
}

func TestPunchHole(t *testing.T) {
	const size = 1 << 20
	for _, tt := range []struct {
		name   string
		off, n int64
	}{
		{"whole blocks", 256 << 10, 512 << 10},
		{"with edges", 100<<10 + 3, 300<<10 + 1},
		{"inside a block", 10, 20},
		{"nothing", 4096, 0},
		{"past the end", 1<<20 - 5000, 1 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFile(t, size)
			if err := SyncFile(f); err != nil {
				t.Fatal(err)
			}
			want := contents(t, f)
			clear(want[tt.off:min(tt.off+tt.n, size)])
			before, errBefore := Allocated(f)
			err := PunchHole(f, tt.off, tt.n)
			if errors.Is(err, errors.ErrUnsupported) {
				t.Skipf("no holes here: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(contents(t, f), want) {
				t.Error("other bytes than those of the range are zero, or the length has changed")
			}
			after, errAfter := Allocated(f)
			if errBefore != nil || errAfter != nil {
				t.Fatal(errBefore, errAfter)
			}
			if tt.n > 64<<10 && after >= before {
				t.Logf("no blocks were freed: %d bytes before, %d after", before, after)
			}
		})
	}
}

func TestFreeSpace(t *testing.T) {
	n, err := FreeSpace(newFile(t, 1))
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("free space is not known here: %v", err)
	}
	if err != nil || n <= 0 {
		t.Errorf("FreeSpace = %d, %v, want bytes", n, err)
	}
}

func TestCopyRange(t *testing.T) {
	for _, features := range [][]Call{nil, {CallFiclone}} {
		for _, tt := range []struct {
			name              string
			dstOff, srcOff, n int64
		}{
			{"all of it", 0, 0, 1 << 20},
			{"blocks", 8192, 4096, 65536},
			{"odd", 17, 4099, 70001},
			{"to the end", 5, 1<<20 - 77, 77},
			{"nothing", 0, 0, 0},
		} {
			t.Run(tt.name, func(t *testing.T) {
				withoutAll(t, features)
				src, dst := newFile(t, 1<<20), newFile(t, 0)
				n, err := CopyRange(dst, tt.dstOff, src, tt.srcOff, tt.n)
				if errors.Is(err, errors.ErrUnsupported) {
					t.Skipf("the kernel does not copy here: %v", err)
				}
				if err != nil || n != tt.n {
					t.Fatalf("CopyRange = %d, %v, want %d", n, err, tt.n)
				}
				if tt.n == 0 {
					return
				}
				want := append(make([]byte, tt.dstOff), contents(t, src)[tt.srcOff:tt.srcOff+tt.n]...)
				if !bytes.Equal(contents(t, dst), want) {
					t.Error("the copy differs")
				}
			})
		}
	}
}

func TestSyncs(t *testing.T) {
	f, dir, _ := newFixture(t)
	if err := SyncFile(f); err != nil {
		t.Errorf("SyncFile = %v", err)
	}
	if err := syncIn(dir.Name()); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Dir.Sync = %v", err)
	}
	for _, n := range []int64{0, 1, PageSize(), 10 * PageSize()} {
		if err := StartWriteback(f, 0, n); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("StartWriteback of %d bytes = %v", n, err)
		}
		if err := AwaitWriteback(f, 0, n); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("AwaitWriteback of %d bytes = %v", n, err)
		}
	}
	defer Disable(CallSyncFileRange)()
	if err := StartWriteback(f, 0, 1); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("StartWriteback without the call = %v, want ErrUnsupported", err)
	}
}
