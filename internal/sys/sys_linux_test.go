package sys

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

// newSparse is an open file of size bytes without blocks.
func newSparse(t *testing.T, size int64) *os.File {
	t.Helper()
	f := newFile(t, 0)
	if err := Truncate(f, size); err != nil {
		t.Fatal(err)
	}
	return f
}

// kernelMappings are the lines of /proc/self/maps about f.
func kernelMappings(t *testing.T, f *os.File) []string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	name, err := filepath.EvalSymlinks(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, name) {
			lines = append(lines, line)
		}
	}
	return lines
}

// A device flush is made for each kernel mapping in a range, so there must be
// one alone.
func TestOneKernelMapping(t *testing.T) {
	if !CanReserve {
		t.Skip("this platform reserves no address space")
	}
	page := PageSize()
	f := newFile(t, page)
	m := newMapping(t, f, MapOptions{Access: ReadWrite, Len: page, Reserve: 256 << 20, Huge: true})
	for size := page; size <= 1<<20; size *= 2 {
		if err := Allocate(f, 0, size); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Fatal(err)
		}
		if err := Truncate(f, size); err != nil {
			t.Fatal(err)
		}
		for _, a := range []Advice{Random, Sequential, Normal, DontFork, DontDump, NoHuge, Huge} {
			if err := m.Advise(a, 0, m.Room()); err != nil && !errors.Is(err, unix.EINVAL) {
				t.Fatalf("advice %d: %v", a, err)
			}
		}
		for _, a := range []Advice{WillNeed, DontNeed, Cold, PageOut, PopulateRead, PopulateWrite} {
			if err := m.Advise(a, size/2, size/2); err != nil {
				t.Fatalf("advice %d: %v", a, err)
			}
		}
		if err := m.Sync(size/2, 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []Access{Read, ReadWrite} {
		if err := m.Protect(a); err != nil {
			t.Fatal(err)
		}
		if got := kernelMappings(t, f); len(got) != 1 {
			t.Errorf("the file has %d kernel mappings, want 1:\n%s", len(got), strings.Join(got, ""))
		}
	}
}

// child runs the named test of this binary in another process and fails with
// it.
func child(t *testing.T, name string, prepare func(*exec.Cmd)) string {
	t.Helper()
	testutil.RequireProcesses(t)
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+name+"$", "-test.v")
	cmd.Env = append(os.Environ(), "SYS_TEST_CHILD="+name, "TMPDIR=/tmp")
	prepare(cmd)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	return string(out)
}

func inChild(name string) bool { return os.Getenv("SYS_TEST_CHILD") == name }

func TestResident(t *testing.T) {
	f := newSparse(t, 64*PageSize())
	ro, err := os.Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	m := newMapping(t, ro, MapOptions{Access: Read, Len: 64 * PageSize()})
	if err := m.Advise(Random, 0, m.Room()); err != nil {
		t.Fatal(err)
	}
	count := func(off, n, want, wantOf int64) {
		t.Helper()
		if in, of, err := m.Resident(off, n); in != want || of != wantOf || err != nil {
			t.Errorf("Resident(%d, %d) = %d of %d, %v, want %d of %d", off, n, in, of, err, want, wantOf)
		}
	}
	count(0, 64*PageSize(), 0, 64)
	if err := m.Populate(8*PageSize(), 2*PageSize(), false); err != nil {
		t.Fatal(err)
	}
	count(8*PageSize(), 2*PageSize(), 2, 2)
	count(8*PageSize()+1, PageSize(), 2, 2)
	count(62*PageSize(), 10*PageSize(), 0, 2)
	count(0, 0, 0, 0)
}

// A range is asked about in pieces, which must add up.
func TestResidentInPieces(t *testing.T) {
	const pages = 3000
	m := newMapping(t, newSparse(t, pages*PageSize()), MapOptions{Access: ReadWrite, Len: pages * PageSize()})
	for _, page := range []int64{0, 511, 1023, 1024, 2047, 2048, 2999} {
		if err := m.Populate(page*PageSize(), 1, false); err != nil {
			t.Fatal(err)
		}
	}
	var want int64
	for page := range int64(pages) {
		in, of, err := m.Resident(page*PageSize(), PageSize())
		if of != 1 || err != nil {
			t.Fatalf("Resident of page %d: of %d, %v", page, of, err)
		}
		want += in
	}
	if in, of, err := m.Resident(0, pages*PageSize()); in != want || in < 7 || of != pages || err != nil {
		t.Errorf("Resident = %d of %d, %v, want %d of %d", in, of, err, want, pages)
	}
}

// To a process that neither owns the file nor may write it, the kernel would
// call every page resident.
func TestResidentTellsNoStranger(t *testing.T) {
	const pages = 64
	if inChild("TestResidentTellsNoStranger") {
		m, err := Map(os.NewFile(3, "inherited"), MapOptions{Access: Read, Len: pages * PageSize()})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // asked and remembered
			in, of, err := m.Resident(0, pages*PageSize())
			if !errors.Is(err, errors.ErrUnsupported) {
				t.Fatalf("Resident = %d of %d, %v, want ErrUnsupported", in, of, err)
			}
		}
		m = newMapping(t, newSparse(t, pages*PageSize()), MapOptions{Access: Read, Len: pages * PageSize()})
		if in, of, err := m.Resident(0, pages*PageSize()); in != 0 || of != pages || err != nil {
			t.Fatalf("Resident of the child's own file = %d of %d, %v, want 0 of %d", in, of, err, pages)
		}
		return
	}
	testutil.RequireCapability(t, testutil.CapSetgid, testutil.CapSetuid)
	ro, err := os.Open(newSparse(t, pages*PageSize()).Name())
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	child(t, "TestResidentTellsNoStranger", func(cmd *exec.Cmd) {
		cmd.ExtraFiles = []*os.File{ro}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	})
}

// Where the address space is limited, the exact length is mapped.
func TestAddressSpaceLimit(t *testing.T) {
	if !CanReserve {
		t.Skip("this platform reserves no address space")
	}
	if inChild("TestAddressSpaceLimit") {
		f := newFile(t, 3*PageSize())
		var lim unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_AS, &lim); err != nil {
			t.Fatal(err)
		}
		lim.Cur = min(8<<30, lim.Max) // to raise Max takes a capability
		if err := unix.Setrlimit(unix.RLIMIT_AS, &lim); err != nil {
			t.Fatal(err)
		}
		m := newMapping(t, f, MapOptions{Access: ReadWrite, Len: 3 * PageSize(), Reserve: 1 << 40})
		if got := m.Room(); got != 3*PageSize() {
			t.Errorf("Room() = %d, want %d", got, 3*PageSize())
		}
		if _, err := Map(nil, MapOptions{Access: ReadWrite, Len: 1 << 40}); !errors.Is(err, unix.ENOMEM) {
			t.Errorf("Map of 1 TiB = %v, want %v", err, unix.ENOMEM)
		}
		return
	}
	child(t, "TestAddressSpaceLimit", func(*exec.Cmd) {})
}

func TestCopyRangeInSteps(t *testing.T) {
	src, dst := newFile(t, 100_000), newFile(t, 0)
	n, err := copyFileRange(int(dst.Fd()), 11, int(src.Fd()), 3, 99_000, 4097)
	if n != 99_000 || err != nil {
		t.Fatalf("copyFileRange = %d, %v, want 99000", n, err)
	}
	if want := append(make([]byte, 11), contents(t, src)[3:99_003]...); !bytes.Equal(contents(t, dst), want) {
		t.Error("the copy differs")
	}
}

func TestCopyRangeRefusals(t *testing.T) {
	src, dst := newFile(t, 10000), newFile(t, 0)
	if n, err := CopyRange(dst, 0, src, 4000, 10000); n != 6000 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("copying past the end = %d, %v, want 6000, %v", n, err, io.ErrUnexpectedEOF)
	}
	proc, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	for name, src := range map[string]*os.File{"proc": proc, "an overlap": dst} {
		if n, err := CopyRange(dst, 0, src, 1, 1000); n != 0 || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("copying %s = %d, %v, want 0, ErrUnsupported", name, n, err)
		}
	}
	t.Cleanup(Disable(CallFiclone))
	t.Cleanup(Disable(CallCopyFileRange))
	if n, err := CopyRange(dst, 0, src, 0, 4096); n != 0 || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("copying without the calls = %d, %v, want 0, ErrUnsupported", n, err)
	}
}

// Reading finds the end of the file before touching would fault.
func TestReadThrough(t *testing.T) {
	page := PageSize()
	f := newFile(t, 3*page+1)
	for _, tt := range []struct {
		off, n int64
		want   error
	}{
		{0, 3 * page, nil},
		{0, 4 * page, nil},
		{3 * page, page, nil},
		{0, 5 * page, ErrFault},
		{4 * page, page, ErrFault},
		{9 * page, page, ErrFault},
	} {
		if err := readThrough(int(f.Fd()), tt.off, tt.n); err != tt.want {
			t.Errorf("readThrough(%d, %d) = %v, want %v", tt.off, tt.n, err, tt.want)
		}
	}
}

func TestRetryTransient(t *testing.T) {
	for _, tt := range []struct {
		name    string
		results []error // the last one for ever
		want    error
		calls   int
	}{
		{"success", []error{nil}, nil, 1},
		{"interrupted", []error{unix.EINTR, unix.EINTR, nil}, nil, 3},
		{"out of something for the moment", []error{unix.EAGAIN, unix.EINTR, unix.EAGAIN, nil}, nil, 4},
		{"out of something for good", []error{unix.EAGAIN}, unix.EAGAIN, 16},
		{"another error", []error{unix.EINTR, unix.EINVAL}, unix.EINVAL, 2},
	} {
		calls := 0
		err := retryTransient(func() error {
			calls++
			return tt.results[min(calls, len(tt.results))-1]
		})
		if err != tt.want || calls != tt.calls {
			t.Errorf("%s: %v after %d calls, want %v after %d", tt.name, err, calls, tt.want, tt.calls)
		}
	}
}

func BenchmarkResidentPage(b *testing.B) {
	benchmarkPage(b, func(m *Mapping) error { _, _, err := m.Resident(0, 1); return err })
}
func BenchmarkPopulatePage(b *testing.B) {
	benchmarkPage(b, func(m *Mapping) error { return m.Populate(0, 1, false) })
}

func benchmarkPage(b *testing.B, fn func(*Mapping) error) {
	f, err := os.Create(filepath.Join(b.TempDir(), "f"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := Truncate(f, PageSize()); err != nil {
		b.Fatal(err)
	}
	m, err := Map(f, MapOptions{Access: Read, Len: PageSize()})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Unmap()
	b.ReportAllocs()
	for b.Loop() {
		if err := fn(m); err != nil {
			b.Fatal(err)
		}
	}
}
