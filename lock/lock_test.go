package lock_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

func TestModesExcludeEachOther(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		for _, files := range []string{"one file", "two files"} {
			for _, tt := range []struct {
				name     string
				has, try lock.Mode
				want     error
			}{
				{"shared with shared", lock.Shared, lock.Shared, nil},
				{"shared with exclusive", lock.Shared, lock.Exclusive, lock.ErrLocked},
				{"exclusive with shared", lock.Exclusive, lock.Shared, lock.ErrLocked},
				{"exclusive with exclusive", lock.Exclusive, lock.Exclusive, lock.ErrLocked},
			} {
				t.Run(files+"/"+tt.name, func(t *testing.T) {
					name := tempFile(t)
					f := open(t, name)
					g := f
					if files == "two files" {
						g = open(t, name)
					}
					a, b := k.lock(f, 1), k.lock(g, 2)
					try(t, a, tt.has)
					if err := b.Try(tt.try); !errors.Is(err, tt.want) {
						t.Errorf("Try = %v, want %v", err, tt.want)
					} else if err != nil {
						wantErr(t, err, "lock", lock.ErrLockedHere)
						wantHeld(t, b, 0)
					} else {
						release(t, b)
					}
					wantHeld(t, a, tt.has)
					release(t, a)
					wantHeld(t, a, 0)
					try(t, b, tt.try)
					release(t, b)
				})
			}
		}
	})
}

// TestKernelHasTheStrongestMode looks from outside at what several holders of
// one open file amount to.
func TestKernelHasTheStrongestMode(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		name := tempFile(t)
		f, out := open(t, name), stranger(t, name)
		outside := func(when string, shared, exclusive error) {
			t.Helper()
			if err := k.outsider(out, sys.LockShared); err != shared {
				t.Errorf("%s: shared from outside: %v, want %v", when, err, shared)
			}
			if err := k.outsider(out, sys.LockExclusive); err != exclusive {
				t.Errorf("%s: exclusive from outside: %v, want %v", when, err, exclusive)
			}
			if err := k.outsider(out, sys.Unlocked); err != nil {
				t.Fatal(err)
			}
		}
		a, b := k.lock(f, 0), k.lock(f, 0)
		outside("free", nil, nil)
		try(t, a, lock.Shared)
		try(t, b, lock.Shared)
		outside("two shared", nil, sys.ErrWouldBlock)
		release(t, a)
		outside("one of them released", nil, sys.ErrWouldBlock)
		try(t, b, lock.Exclusive)
		outside("the other upgraded", sys.ErrWouldBlock, sys.ErrWouldBlock)
		n := b.Nested()
		try(t, n, lock.Shared)
		outside("shared nested in exclusive", sys.ErrWouldBlock, sys.ErrWouldBlock)
		release(t, b)
		outside("shared left alone", nil, sys.ErrWouldBlock)
		release(t, n)
		outside("all released", nil, nil)
	})
}

func TestHoldingAlreadyIsSuccess(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		l := k.lock(open(t, tempFile(t)), 0)
		for _, m := range []lock.Mode{lock.Shared, lock.Exclusive, lock.Shared} {
			try(t, l, m)
			try(t, l, m)
			if err := l.Acquire(t.Context(), m); err != nil {
				t.Errorf("Acquire(%v) = %v", m, err)
			}
			wantHeld(t, l, m)
		}
		release(t, l)
		wantErr(t, l.Release(), "unlock", lock.ErrNotHeld)
	})
}

func TestInvalidArguments(t *testing.T) {
	l := lock.New(open(t, tempFile(t)))
	for _, tt := range []struct {
		name string
		l    *lock.Lock
		m    lock.Mode
		want error
	}{
		{"no mode", l, 0, fs.ErrInvalid},
		{"unknown mode", l, 3, fs.ErrInvalid},
		{"negative offset", l.Range(-1, 1), lock.Shared, fs.ErrInvalid},
		{"negative length", l.Range(0, -1), lock.Shared, fs.ErrInvalid},
		{"overflow", l.Range(math.MaxInt64, 2), lock.Shared, fs.ErrInvalid},
		{"nested in what is none", l.Range(-1, 1).Nested(), lock.Shared, fs.ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wantErr(t, tt.l.Try(tt.m), "lock", tt.want)
			wantErr(t, tt.l.Acquire(t.Context(), tt.m), "lock", tt.want)
			tt.l.AcquireFunc(t.Context(), tt.m, func(err error) { wantErr(t, err, "lock", tt.want) })
			wantErr(t, tt.l.Release(), "unlock", lock.ErrNotHeld)
		})
	}
}

// TestLockOfNoFile: memory that no file backs has locks that cannot be taken,
// not nil ones.
func TestLockOfNoFile(t *testing.T) {
	none := lock.New(nil)
	for _, l := range []*lock.Lock{none, none.Range(0, 1), none.Range(-1, 1), none.Nested()} {
		want := errors.ErrUnsupported
		wantErr(t, l.Try(lock.Shared), "lock", want)
		wantErr(t, l.Acquire(t.Context(), lock.Exclusive), "lock", want)
		l.AcquireFunc(t.Context(), lock.Shared, func(err error) { wantErr(t, err, "lock", want) })
		wantErr(t, l.Release(), "unlock", want)
		wantHeld(t, l, 0)
	}
}

// TestLargestRanges: the last byte that a range may have is the largest int64.
func TestLargestRanges(t *testing.T) {
	kinds[1].require(t)
	if runtime.GOOS == "windows" {
		t.Skip("there the offsets of ranges are limited")
	}
	const most = math.MaxInt64
	f := open(t, tempFile(t))
	for _, tt := range []struct {
		off, n int64
		valid  bool
	}{
		{0, most, true}, {1, most, true}, {2, most, false}, {most - 9, 10, true}, {most - 9, 11, false},
		{most, 0, true}, {most, 1, true}, {most, 2, false}, {most, most, false},
	} {
		l, last := lock.New(f).Range(tt.off, tt.n), lock.New(f).Range(tt.off, 1)
		if tt.n > 1 {
			last = lock.New(f).Range(tt.off+(tt.n-1), 1)
		}
		err := l.Try(lock.Exclusive)
		if !tt.valid {
			wantErr(t, err, "lock", fs.ErrInvalid)
			continue
		}
		if err != nil {
			t.Errorf("[%d, +%d): %v", tt.off, tt.n, err)
			continue
		}
		wantErr(t, last.Try(lock.Shared), "lock", lock.ErrLockedHere)
		release(t, l)
	}
}

func TestRangesUnsupported(t *testing.T) {
	defer sys.Disable(sys.CallOFD)()
	l := lock.New(open(t, tempFile(t))).Range(0, 10)
	wantErr(t, l.Try(lock.Shared), "lock", errors.ErrUnsupported)
	wantErr(t, l.Acquire(t.Context(), lock.Exclusive), "lock", errors.ErrUnsupported)
	wantHeld(t, l, 0)
}

// TestKindsDoNotMeet: a lock on the whole file and locks on its ranges are two
// things.
func TestKindsDoNotMeet(t *testing.T) {
	for _, k := range kinds {
		k.require(t)
	}
	f := open(t, tempFile(t))
	whole, part := lock.New(f), lock.New(f).Range(0, 0)
	try(t, whole, lock.Exclusive)
	try(t, part, lock.Exclusive)
	release(t, whole)
	wantHeld(t, part, lock.Exclusive)
	release(t, part)
}

func TestClosedFile(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		name := tempFile(t)
		f := open(t, name)
		held, unused, used := k.lock(f, 0), k.lock(f, 0), k.lock(f, 0)
		try(t, used, lock.Exclusive)
		release(t, used)
		try(t, held, lock.Shared)
		f.Close()
		wantErr(t, unused.Try(lock.Shared), "lock", fs.ErrClosed)
		wantErr(t, used.Try(lock.Shared), "lock", fs.ErrClosed)
		wantErr(t, used.Try(lock.Exclusive), "lock", fs.ErrClosed)
		wantErr(t, used.Acquire(t.Context(), lock.Exclusive), "lock", fs.ErrClosed)
		wantErr(t, held.Release(), "unlock", fs.ErrClosed)
		wantErr(t, held.Release(), "unlock", lock.ErrNotHeld)
	})
}

// TestClosedHolderDoesNotBlock: closing the file without a release loses the
// lock, in the system as well.
func TestClosedHolderDoesNotBlock(t *testing.T) {
	still(t, func(t *testing.T, k kind) {
		name := tempFile(t)
		f := open(t, name)
		forgotten, l := k.lock(f, 0), k.lock(open(t, name), 1)
		try(t, forgotten, lock.Exclusive)
		f.Close()
		try(t, l, lock.Exclusive)
		wantHeld(t, forgotten, 0)
		wantErr(t, forgotten.Release(), "unlock", lock.ErrLost)
		release(t, l)
	})
}

// TestMappingKeepsTheLock: what the documentation says of closing without a
// release: the mapping keeps the open file and its locks, except on overlayfs.
func TestMappingKeepsTheLock(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("whether a mapping keeps the open file is known for Linux only")
	}
	each(t, func(t *testing.T, k kind) {
		name := tempFile(t)
		// On overlayfs a mapping keeps the file of the layer below it.
		testutil.RequireFileSystem(t, name, "overlay")
		f := open(t, name)
		m, err := sys.Map(f, sys.MapOptions{Len: 10})
		if err != nil {
			t.Fatal(err)
		}
		l, other := k.lock(f, 0), k.lock(open(t, name), 0)
		try(t, l, lock.Exclusive)
		overlay := isOverlay(t, f)
		f.Close()
		if overlay {
			try(t, other, lock.Shared)
			release(t, other)
		} else {
			wantErr(t, other.Try(lock.Shared), "lock", lock.ErrLocked)
		}
		if err := m.Unmap(); err != nil {
			t.Fatal(err)
		}
		try(t, other, lock.Shared)
		release(t, other)
	})
}

// isOverlay reports whether f is on overlayfs.
func isOverlay(t *testing.T, f *os.File) bool {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Skipf("the file system of a file is not known here: %v", err)
	}
	name, err := filepath.EvalSymlinks(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	// Of the mounts whose mount point is a parent of name, the last of the
	// longest counts: 36 35 98:0 / /point options - type source options.
	longest, overlay := -1, false
	for line := range strings.Lines(string(mounts)) {
		mount, fs, ok := strings.Cut(line, " - ")
		fields := strings.Fields(mount)
		if !ok || len(fields) < 5 {
			continue
		}
		point := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4])
		if rel, err := filepath.Rel(point, name); err == nil && filepath.IsLocal(rel) && len(point) >= longest {
			longest, overlay = len(point), strings.HasPrefix(fs, "overlay ")
		}
	}
	return overlay
}

func TestErrorsOfTheSystem(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		l := k.lock(open(t, tempFile(t)), 0)
		failing := func(do func() error) error {
			defer sys.Inject(func(op sys.Op) error {
				if op == k.op {
					return syscall.EIO
				}
				return nil
			})()
			return do()
		}
		once := func(do func() error) error { // what follows the failure goes well
			n := 0
			defer sys.Inject(func(op sys.Op) error {
				if n++; op == k.op && n == 1 {
					return syscall.EIO
				}
				return nil
			})()
			return do()
		}
		wantErr(t, failing(func() error { return l.Try(lock.Shared) }), "lock", syscall.EIO)
		wantErr(t, failing(func() error { return l.Acquire(t.Context(), lock.Shared) }), "lock", syscall.EIO)
		wantHeld(t, l, 0)
		try(t, l, lock.Shared)
		wantErr(t, once(func() error { return l.Try(lock.Exclusive) }), "lock", syscall.EIO)
		wantHeld(t, l, lock.Shared)
		wantErr(t, failing(l.Release), "unlock", syscall.EIO)
		wantHeld(t, l, lock.Shared)
		try(t, l, lock.Exclusive)
		wantErr(t, failing(l.Release), "unlock", syscall.EIO)
		wantHeld(t, l, lock.Exclusive)
		release(t, l)
	})
}

func TestModeString(t *testing.T) {
	for m, want := range map[lock.Mode]string{lock.Shared: "shared", lock.Exclusive: "exclusive", 0: "none"} {
		if got := m.String(); got != want {
			t.Errorf("Mode(%d).String() = %q, want %q", m, got, want)
		}
	}
}

// TestDirectory: any file that can be opened can be locked.
func TestDirectory(t *testing.T) {
	kinds[0].require(t)
	d, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l := lock.New(d)
	if err := l.Try(lock.Exclusive); err != nil {
		t.Skipf("directories cannot be locked on this platform: %v", err)
	}
	release(t, l)
}

func TestTryAllocatesNothing(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		if k.op == sys.OpOFD && runtime.GOOS == "windows" {
			return // where package sys remembers the ranges
		}
		l := k.lock(open(t, tempFile(t)), 0)
		try(t, l, lock.Shared)
		release(t, l)
		if n := testing.AllocsPerRun(100, func() {
			try(t, l, lock.Exclusive)
			release(t, l)
		}); n != 0 {
			t.Errorf("%v allocations a pair, want 0", n)
		}
	})
}

// Locks come and go on more files than the table remembers, one after the other
// and all at once: it does not grow, and what it remembers of one file does not
// count for another.
func TestTableDoesNotGrow(t *testing.T) {
	kinds[0].require(t)
	_, most := lock.Cached()
	locks := make([]*lock.Lock, 3*most)
	for i := range locks {
		locks[i] = lock.New(open(t, tempFile(t)))
	}
	for _, l := range locks {
		try(t, l, lock.Exclusive)
		release(t, l)
		if n, _ := lock.Cached(); n > most {
			t.Fatalf("the table keeps %d unused entries, want at most %d", n, most)
		}
	}
	for range 2 {
		for _, l := range locks {
			try(t, l, lock.Exclusive)
		}
		for _, l := range slices.Backward(locks) {
			release(t, l)
		}
		if n, _ := lock.Cached(); n > most {
			t.Fatalf("the table keeps %d unused entries, want at most %d", n, most)
		}
	}
}

// The text of a lock names what it is on, and may be made while the lock is
// used.
func TestLockAsText(t *testing.T) {
	f := open(t, tempFile(t))
	l := lock.New(f)
	for _, tt := range []struct {
		l    *lock.Lock
		want string
	}{
		{l, "lock of " + f.Name()},
		{l.Range(5, 10), "lock of " + f.Name() + "[5:15]"},
		{l.Range(5, 0), "lock of " + f.Name() + "[5:]"},
		{lock.New(nil), "lock of no file"},
	} {
		if got := fmt.Sprintf("%v", tt.l); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// What a Lock is told of its file is what it would have asked for.
func TestKnownFile(t *testing.T) {
	kinds[0].require(t)
	f, g := open(t, tempFile(t)), open(t, tempFile(t))
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	known := lock.NewKnown(f, info)
	if err := known.Try(lock.Exclusive); err != nil {
		t.Fatal(err)
	}
	if err := lock.New(open(t, f.Name())).Try(lock.Shared); !errors.Is(err, lock.ErrLockedHere) {
		t.Errorf("another Lock of the file: %v, want %v", err, lock.ErrLockedHere)
	}
	if l := lock.New(g); l.Try(lock.Exclusive) != nil || l.Release() != nil {
		t.Error("a lock of another file is refused")
	}
	if err := known.Release(); err != nil {
		t.Error(err)
	}
	if err := lock.NewKnown(nil, info).Try(lock.Shared); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("no file: %v, want %v", err, errors.ErrUnsupported)
	}
}
