package sys

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"unsafe"
)

// newFile is an open file of size bytes; each is the number of its page plus
// one.
func newFile(t *testing.T, size int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	b := make([]byte, size)
	for i := range b {
		b[i] = pageByte(int64(i))
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	return f
}

// pageByte is the byte at off in a file of newFile.
func pageByte(off int64) byte { return byte(off/PageSize()) + 1 }

// newMapping maps f until the test ends, and skips the test where no file can
// be mapped.
func newMapping(t *testing.T, f *os.File, o MapOptions) *Mapping {
	t.Helper()
	m, err := Map(f, o)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("%s/%s does not map this: %v", runtime.GOOS, runtime.GOARCH, err)
	}
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

// faults reports whether fn faults at an address.
func faults(t *testing.T, fn func()) (faulted bool) {
	t.Helper()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(interface{ Addr() uintptr }); !ok {
				panic(r)
			}
			faulted = true
		}
	}()
	fn()
	return false
}

func readAt(t *testing.T, f *os.File, off int64) byte {
	t.Helper()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	return b[0]
}

func TestMapAccess(t *testing.T) {
	g := Granularity()
	for _, tt := range []struct {
		name     string
		access   Access
		stores   bool
		reaches  bool // the file
		readOnly bool // open the file so
	}{
		{"read", Read, false, false, true},
		{"read of a writable file", Read, false, false, false},
		{"read-write", ReadWrite, true, true, false},
		{"copy", Copy, true, false, false},
		{"copy of a read-only file", Copy, true, false, true},
		{"read-exec", ReadExec, false, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFile(t, 2*g+100)
			if tt.readOnly {
				ro, err := os.Open(f.Name())
				if err != nil {
					t.Fatal(err)
				}
				defer ro.Close()
				f = ro
			}
			m := newMapping(t, f, MapOptions{Access: tt.access, Offset: g, Len: g + 100})
			b := m.bytes(0, g+100)
			for off := range b {
				if want := pageByte(g + int64(off)); b[off] != want {
					t.Fatalf("byte %d = %d, want %d", off, b[off], want)
				}
			}
			if tt.stores {
				b[7] = 200
			}
			if got := readAt(t, f, g+7) == 200; got != tt.reaches {
				t.Errorf("store reaches the file = %v, want %v", got, tt.reaches)
			}
			if err := m.Sync(1, g); err != nil {
				t.Errorf("Sync = %v", err)
			}
		})
	}
}

func TestMapRefuses(t *testing.T) {
	f := newFile(t, 2*Granularity())
	closed := newFile(t, 10)
	closed.Close()
	for _, tt := range []struct {
		name string
		file *os.File
		o    MapOptions
		is   error
	}{
		{"nothing", f, MapOptions{}, nil},
		{"negative length", f, MapOptions{Len: -1}, nil},
		{"negative offset", f, MapOptions{Len: 1, Offset: -Granularity()}, nil},
		{"offset between granules", f, MapOptions{Len: 1, Offset: Granularity() / 2}, nil},
		{"more than an address space", nil, MapOptions{Len: 1 << 62}, nil},
		{"a closed file", closed, MapOptions{Len: 10}, fs.ErrClosed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := Map(tt.file, tt.o)
			if err == nil {
				m.Unmap()
				t.Fatal("Map succeeded")
			}
			if tt.is != nil && !errors.Is(err, tt.is) && !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("error %v, want %v", err, tt.is)
			}
		})
	}
	if unsafe.Sizeof(uintptr(0)) == 4 {
		if _, err := Map(nil, MapOptions{Access: ReadWrite, Len: 1<<32 + 100}); err == nil {
			t.Error("a length past the address space was cut to 32 bits")
		}
	}
}

// A file offset does not fit a register of 32-bit systems.
func TestOffsetPast4GiB(t *testing.T) {
	off := int64(4<<30) + 3*Granularity()
	f := newFile(t, 0)
	if err := Truncate(f, off+PageSize()); err != nil {
		t.Skipf("no file of 4 GiB here: %v", err)
	}
	if _, err := f.WriteAt([]byte("past"), off+8); err != nil {
		t.Fatal(err)
	}
	m := newMapping(t, f, MapOptions{Access: ReadWrite, Offset: off, Len: PageSize()})
	if got := m.bytes(8, 4); string(got) != "past" {
		t.Errorf("mapped bytes = %q, want %q", got, "past")
	}
	m.bytes(8, 4)[0] = 'P'
	if err := m.Sync(8, 4); err != nil {
		t.Fatal(err)
	}
	if got := readAt(t, f, off+8); got != 'P' {
		t.Errorf("byte in the file = %q, want P", got)
	}
	if in, of, err := m.Resident(0, PageSize()); err == nil && (in != 1 || of != 1) {
		t.Errorf("Resident = %d of %d, want 1 of 1", in, of)
	}
}

func TestGrowInReservation(t *testing.T) {
	if !CanReserve {
		t.Skip("this platform reserves no address space")
	}
	for _, empty := range []bool{false, true} {
		page := PageSize()
		size := page
		if empty {
			size = 0
		}
		f := newFile(t, size)
		m := newMapping(t, f, MapOptions{Access: ReadWrite, Len: size, Reserve: 64 << 20})
		if got := m.Room(); got != 64<<20 {
			t.Fatalf("Room() = %d, want %d", got, 64<<20)
		}
		base := m.Base()
		if err := m.Populate(size, page, false); !errors.Is(err, ErrFault) {
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
			if got := readAt(t, f, (pages-1)*page); got != byte(pages) {
				t.Errorf("byte of page %d = %d, want %d", pages-1, got, pages)
			}
		}
		if m.Base() != base {
			t.Error("growing moved the mapping")
		}
	}
}

func TestPastEndFaults(t *testing.T) {
	if !CanReserve {
		t.Skip("this platform reserves no address space")
	}
	for _, size := range []int64{0, PageSize(), 3*PageSize() + 1} {
		f := newFile(t, size)
		m := newMapping(t, f, MapOptions{Access: ReadWrite, Len: size, Reserve: 1 << 20})
		past := (size + PageSize() - 1) / PageSize() * PageSize()
		if !faults(t, func() { m.bytes(past, 1)[0]++ }) {
			t.Errorf("a store past the last page of %d bytes did not fault", size)
		}
		if err := m.touch(0, past+1, true); err != ErrFault {
			t.Errorf("touch past the last page of %d bytes = %v, want ErrFault", size, err)
		}
	}
}

func TestReservationMissing(t *testing.T) {
	testWithoutReservation(t, func() (restore func()) { return Disable(CallReserve) })
}

// testWithoutReservation maps files while reservations are refused.
func testWithoutReservation(t *testing.T, install func() (restore func())) {
	if !CanReserve {
		t.Skip("this platform reserves no address space")
	}
	for _, size := range []int64{0, 1, 3*PageSize() - 1} {
		f := newFile(t, size)
		restore := install()
		m, err := Map(f, MapOptions{Access: ReadWrite, Len: size, Reserve: 1 << 30})
		restore()
		if err != nil {
			t.Fatal(err)
		}
		want := max(size+PageSize()-1, PageSize()) / PageSize() * PageSize()
		if got := m.Room(); got != want {
			t.Errorf("Room() = %d for %d bytes, want %d", got, size, want)
		}
		if err := m.Unmap(); err != nil {
			t.Error(err)
		}
	}
}

func TestProtect(t *testing.T) {
	f := newFile(t, 3*PageSize())
	for _, access := range []Access{ReadWrite, Copy} {
		m := newMapping(t, f, MapOptions{Access: access, Len: 3 * PageSize(), Reserve: 1 << 20})
		b := m.bytes(0, 3*PageSize())
		b[0], b[PageSize()] = 90, 91
		if err := m.Protect(Read); err != nil {
			t.Fatal(err)
		}
		if b[0] != 90 || b[PageSize()] != 91 {
			t.Errorf("bytes = %d, %d, want 90, 91", b[0], b[PageSize()])
		}
		if err := m.Protect(access); err != nil {
			t.Fatal(err)
		}
		b[1], b[2*PageSize()] = 92, 93
		if b[0] != 90 || b[1] != 92 {
			t.Errorf("bytes = %d, %d, want 90, 92", b[0], b[1])
		}
	}
	if got := readAt(t, f, 0); got != 90 {
		t.Errorf("byte in the file = %d, want 90", got)
	}
}

func TestStoreFaults(t *testing.T) {
	f := newFile(t, PageSize())
	for _, access := range []Access{Read, ReadExec} {
		m := newMapping(t, f, MapOptions{Access: access, Len: PageSize()})
		if !faults(t, func() { m.bytes(0, 1)[0] = 1 }) {
			t.Errorf("a store into a mapping of access %d did not fault", access)
		}
	}
	for _, access := range []Access{ReadWrite, Copy} {
		m := newMapping(t, f, MapOptions{Access: access, Len: PageSize()})
		m.bytes(0, 1)[0] = 1
		if err := m.Protect(Read); err != nil {
			t.Fatal(err)
		}
		if !faults(t, func() { m.bytes(0, 1)[0] = 1 }) {
			t.Errorf("a store into a mapping of access %d made read-only did not fault", access)
		}
	}
}

func TestAnonymous(t *testing.T) {
	page := PageSize()
	for _, o := range []MapOptions{
		{Access: ReadWrite, Len: 5*page + 3},
		{Access: ReadWrite, Len: 5*page + 3, Stack: true},
		{Access: ReadWrite, Len: 5*page + 3, Huge: true},
		{Access: ReadWrite, Len: 5*page + 3, Reserve: 1 << 20},
		{Access: Copy, Len: 5*page + 3},
	} {
		m := newMapping(t, nil, o)
		if uintptr(m.Base())%uintptr(page) != 0 {
			t.Errorf("%+v: base %p lies between pages", o, m.Base())
		}
		b := m.bytes(0, o.Len)
		for i := range b {
			if b[i] != 0 {
				t.Fatalf("%+v: byte %d = %d, want 0", o, i, b[i])
			}
			b[i] = 9
		}
		if err := m.Sync(0, o.Len); err != nil {
			t.Errorf("%+v: Sync = %v", o, err)
		}
		if err := m.Populate(0, o.Len, true); err != nil {
			t.Errorf("%+v: Populate = %v", o, err)
		}
	}
}

func TestDiscard(t *testing.T) {
	page := PageSize()
	for _, tt := range []struct {
		name   string
		off, n int64
		locked bool
	}{
		{"nothing", 10, 0, false},
		{"inside a page", 10, 20, false},
		{"across two pages", page - 10, 20, false},
		{"whole pages", page, 2 * page, false},
		{"pages and edges", page - 3, 2*page + 9, false},
		{"to the end", 3*page + 1, page - 1, false},
		{"everything", 0, 4 * page, false},
		{"locked pages", page - 3, 2*page + 9, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMapping(t, nil, MapOptions{Access: ReadWrite, Len: 4 * page})
			b := m.bytes(0, 4*page)
			for i := range b {
				b[i] = 5
			}
			want := bytes.Clone(b)
			clear(want[tt.off : tt.off+tt.n])
			if tt.locked {
				if err := m.LockMemory(0, 4*page); err != nil {
					t.Skipf("memory cannot be locked here: %v", err)
				}
			}
			if err := m.Discard(tt.off, tt.n); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, want) {
				t.Error("other bytes than those of the range are zero")
			}
			if tt.locked {
				if err := m.UnlockMemory(0, 4*page); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
