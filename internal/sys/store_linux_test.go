package sys

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/internal/sys/systest"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// openStored makes a file of n bytes in dir.
func openStored(t *testing.T, dir string, n, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "f"), os.O_RDWR|os.O_CREATE|flags, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(int64(n)); err != nil {
		t.Fatal(err)
	}
	return f
}

// What StoreAt writes a shared mapping shows, and the other way round, at once
// and after the pages have been dropped: on each file system that CanStore
// knows. Bytes that it does not write keep their values.
func TestStoresAreCoherent(t *testing.T) {
	onCoherent(t, CanStore, func(t *testing.T, f *os.File, m *Mapping) {
		const size = coherentSize
		store := func(b []byte, off int64) (int, error) { return StoreAt(f.Fd(), b, off) }
		want := storeAtRandom(t, f, m, 1, store, func(step int, want []byte, off, n int64) {
			from, until := max(off-5000, 0), min(off+n+5000, size)
			if !bytes.Equal(m.bytes(from, until-from), want[from:until]) {
				t.Fatalf("step %d: the mapping does not show the %d bytes at %d", step, n, off)
			}
			if step%500 == 400 {
				if err := m.Sync(off, n); err != nil {
					t.Fatal(err)
				}
			}
		})
		got := make([]byte, size+1)
		if n, err := f.ReadAt(got, 0); int64(n) != size || err != io.EOF || !bytes.Equal(got[:n], want) {
			t.Errorf("%d bytes, or other ones, %v", n, err)
		}
	})
}

// coherentSize is the length of the file of onCoherent: it ends within a page.
const coherentSize = 4<<20 + 123

// onCoherent calls test with a file, and its mapping, on each file system on which
// system calls and shared mappings are known to show the same bytes.
func onCoherent(t *testing.T, can func(fd uintptr) bool, test func(t *testing.T, f *os.File, m *Mapping)) {
	const size = coherentSize
	for _, fstype := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(fstype, func(t *testing.T) {
			f := openStored(t, testutil.LoopDisk(t, 64<<20, fstype), size, 0)
			if !can(f.Fd()) {
				t.Fatal("the file system is not one of those")
			}
			m, err := Map(f, MapOptions{Access: ReadWrite, Len: size, Reserve: size})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = m.Unmap() }()
			test(t, f, m)
		})
	}
}

// storeAtRandom stores 3,000 times to a file of zeros and returns what it has then:
// through the mapping in mapped of three cases, and by a call in the others. Now and
// then it drops all pages. look is called after each step with what the file has to
// have, and with the range that was stored to.
func storeAtRandom(t *testing.T, f *os.File, m *Mapping, mapped int, store func(b []byte, off int64) (int, error), look func(step int, want []byte, off, n int64)) []byte {
	t.Helper()
	const size = coherentSize
	rng := rand.New(rand.NewPCG(testutil.Seed(t), 1))
	want := make([]byte, size)
	for i := range 3000 {
		off := rng.Int64N(size)
		n := min(1+rng.Int64N(20_000), size-off)
		b := make([]byte, n)
		for j := range b {
			b[j] = byte(rng.Uint32())
		}
		copy(want[off:], b)
		if rng.IntN(3) < mapped {
			copy(m.bytes(off, n), b)
		} else if got, err := store(b, off); err != nil || int64(got) != n {
			t.Fatalf("storing by a call: %d of %d, %v", got, n, err)
		}
		look(i, want, off, n)
		if i%500 == 200 {
			if err := errors.Join(m.Sync(0, size), m.Advise(DontNeed, 0, size), systest.Evict(f)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return want
}

// Signals and short writes are gone on with, and all else is returned with the
// number of bytes before it.
func TestStoreAtGoesOn(t *testing.T) {
	f := openStored(t, t.TempDir(), 1000, 0)
	p := []byte("some bytes to write")
	calls := 0
	before := beforePwrite
	defer func() { beforePwrite = before }()
	beforePwrite = func(n int) (int, error) {
		switch calls++; calls % 3 {
		case 0:
			return 0, unix.EINTR
		case 1:
			return min(n, 3), nil
		}
		return min(n, 1), nil
	}
	n, err := StoreAt(f.Fd(), p, 500)
	got := make([]byte, len(p))
	if _, rerr := f.ReadAt(got, 500); n != len(p) || err != nil || rerr != nil || !bytes.Equal(got, p) {
		t.Errorf("%d, %v, %v; the file has %q", n, err, rerr, got)
	}
	for _, want := range []error{unix.ENOSPC, unix.EDQUOT, unix.EIO, unix.EPERM, io.ErrShortWrite} {
		calls = 0
		beforePwrite = func(n int) (int, error) {
			if calls++; calls == 1 {
				return 4, nil
			}
			if want == io.ErrShortWrite {
				return 0, nil
			}
			return 0, want
		}
		if n, err := StoreAt(f.Fd(), p, 500); n != 4 || err != want {
			t.Errorf("%d, %v, want 4, %v", n, err, want)
		}
		if isDisk := want == unix.ENOSPC || want == unix.EDQUOT || want == unix.EIO; DiskError(want) != isDisk {
			t.Errorf("DiskError(%v) is %v", want, !isDisk)
		}
	}
}

// Nothing is written behind the end of the file, nor by a descriptor that writes
// elsewhere.
func TestStoreAtRefuses(t *testing.T) {
	f := openStored(t, t.TempDir(), 1000, 0)
	if n, err := StoreAt(f.Fd(), make([]byte, 10), 991); n != 0 || err != ErrPastEnd {
		t.Errorf("past the end: %d, %v", n, err)
	}
	for name, flag := range map[string]int{"O_APPEND": unix.O_APPEND, "O_DIRECT": unix.O_DIRECT, "O_SYNC": unix.O_SYNC, "O_DSYNC": unix.O_DSYNC} {
		g, err := os.OpenFile(f.Name(), os.O_RDWR|flag, 0)
		if errors.Is(err, unix.EINVAL) {
			continue // no O_DIRECT here
		}
		if err != nil {
			t.Fatal(err)
		}
		if n, err := StoreAt(g.Fd(), make([]byte, 512), 0); n != 0 || !errors.Is(err, errors.ErrUnsupported) || CanStore(g.Fd()) {
			t.Errorf("%s: %d, %v, CanStore: %v", name, n, err, CanStore(g.Fd()))
		}
		g.Close()
	}
	if fi, err := f.Stat(); err != nil || fi.Size() != 1000 {
		t.Errorf("the file has %d bytes, %v", fi.Size(), err)
	}
}

// A file that is open for reading, one in memory, and a process that may not
// write long files: no stores.
func TestCanStore(t *testing.T) {
	f := openStored(t, t.TempDir(), 1000, 0)
	if !CanStore(f.Fd()) {
		t.Skip("no file system here that CanStore knows")
	}
	r, err := os.Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	memory, err := NewShared("memory")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	if CanStore(r.Fd()) || CanStore(memory.Fd()) || CanStore(^uintptr(0)) {
		t.Error("CanStore is true for a file that is read-only, in memory, or not there")
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_FSIZE, &limit)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1 << 40, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	if CanStore(f.Fd()) {
		t.Error("CanStore is true for a process with a limit on the size of files")
	}
}

// Waiting for a file system that takes stores changes nothing of a file.
func TestAwaitThawStoresNothing(t *testing.T) {
	for _, flag := range []int{0, unix.O_APPEND} {
		f := openStored(t, t.TempDir(), 1000, flag)
		before, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		AwaitThaw(f.Fd())
		after, err := f.Stat()
		if err != nil || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
			t.Errorf("%d bytes of %v, then %d of %v, %v", before.Size(), before.ModTime(), after.Size(), after.ModTime(), err)
		}
	}
}

// A store looks at no time of the file. If it did, it would give the file a
// time of its own on Linux from 6.13 on, so change the inode, and make its flush
// take longer. What is seen of that is the time: it is of the last tick of the
// kernel's clock, and so, some time, from before the store.
func TestStoreAtTakesNoTimeOfItsOwn(t *testing.T) {
	f := openStored(t, t.TempDir(), 1000, 0)
	for range 1000 {
		// The first store takes one, because of the look at the file before it.
		for range 2 {
			if _, err := StoreAt(f.Fd(), []byte("a"), 0); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		if _, err := StoreAt(f.Fd(), []byte("b"), 0); err != nil {
			t.Fatal(err)
		}
		fi, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if fi.ModTime().Before(began) {
			return
		}
	}
	if CallStatx.Missing() {
		t.Skip("no statx")
	}
	t.Error("each of 1000 stores has taken a time of its own")
}

// Without statx the length is found by fstat.
func TestStoreAtWithoutStatx(t *testing.T) {
	defer Disable(CallStatx)()
	f := openStored(t, t.TempDir(), 1000, 0)
	if n, err := StoreAt(f.Fd(), []byte("stored"), 994); n != 6 || err != nil {
		t.Errorf("up to the end: %d, %v", n, err)
	}
	if n, err := StoreAt(f.Fd(), []byte("stored"), 995); n != 0 || err != ErrPastEnd {
		t.Errorf("past the end: %d, %v", n, err)
	}
}
