package sys

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// newFile is a file of size bytes, each the low byte of its page's number plus one.
func newFile(t *testing.T, size int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(int64(i)/PageSize()) + 1
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	return f
}

// newMapping maps f until the test ends.
func newMapping(t *testing.T, f *os.File, o MapOptions) *Mapping {
	t.Helper()
	m, err := Map(f, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Unmap(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func TestGrowInReservation(t *testing.T) {
	if !CanReserve {
		t.Skip("this platform reserves no address space")
	}
	page := PageSize()
	f := newFile(t, page)
	m := newMapping(t, f, MapOptions{Access: ReadWrite, Len: page, Reserve: 64 << 20})
	if got := m.Room(); got != 64<<20 {
		t.Fatalf("Room() = %d, want %d", got, 64<<20)
	}
	if err := m.Populate(page, page, false); !errors.Is(err, ErrFault) {
		t.Errorf("Populate past the end: %v, want ErrFault", err)
	}
	for pages := int64(2); pages <= 64; pages *= 2 {
		if err := Truncate(f, pages*page); err != nil {
			t.Fatal(err)
		}
		if err := m.Populate(0, pages*page, true); err != nil {
			t.Fatal(err)
		}
		m.bytes((pages-1)*page, page)[0] = byte(pages)
		if err := m.Sync(0, pages*page); err != nil {
			t.Fatal(err)
		}
		var b [1]byte
		if _, err := f.ReadAt(b[:], (pages-1)*page); err != nil || b[0] != byte(pages) {
			t.Errorf("byte of page %d = %d, %v, want %d", pages-1, b[0], err, pages)
		}
	}
	if in, of, err := m.Resident(0, 64*page); in != 64 || of != 64 || err != nil {
		t.Errorf("Resident = %d of %d, %v, want 64 of 64", in, of, err)
	}
	if err := m.Protect(Read); err != nil {
		t.Error(err)
	}
}
