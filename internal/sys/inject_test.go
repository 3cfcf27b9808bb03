package sys

import (
	"errors"
	"io/fs"
	"os"
	"sync/atomic"
	"testing"
)

// calls are all functions that the hook can fail, and what it is asked for.
func calls(f, dir *os.File, m *Mapping) map[string]struct {
	op string
	fn func() error
} {
	type call = struct {
		op string
		fn func() error
	}
	return map[string]call{
		"Map":            {"mmap", func() error { _, err := Map(f, MapOptions{Len: 1}); return err }},
		"Unmap":          {"munmap", m.Unmap},
		"Protect":        {"mprotect", func() error { return m.Protect(Read) }},
		"Sync":           {"msync", func() error { return m.Sync(0, 1) }},
		"Advise":         {"madvise", func() error { return m.Advise(WillNeed, 0, 1) }},
		"Populate":       {"madvise", func() error { return m.Populate(0, 1, false) }},
		"Resident":       {"mincore", func() error { _, _, err := m.Resident(0, 1); return err }},
		"LockMemory":     {"mlock", func() error { return m.LockMemory(0, 1) }},
		"UnlockMemory":   {"mlock", func() error { return m.UnlockMemory(0, 1) }},
		"Truncate":       {"ftruncate", func() error { return Truncate(f, 5) }},
		"Allocate":       {"fallocate", func() error { return Allocate(f, 0, 5) }},
		"FillHoles":      {"fallocate", func() error { return FillHoles(f, 0, 5) }},
		"PunchHole":      {"punch", func() error { return PunchHole(f, 0, 5) }},
		"StartWriteback": {"sync_file_range", func() error { return StartWriteback(f, 0, 5) }},
		"AwaitWriteback": {"sync_file_range", func() error { return AwaitWriteback(f, 0, 5) }},
		"CopyRange":      {"copy_file_range", func() error { _, err := CopyRange(f, 0, f, 0, 5); return err }},
		"SyncFile":       {"fsync", func() error { return SyncFile(f) }},
		"Unlink":         {"unlink", func() error { return unlinkIn(dir.Name(), "none", f) }},
		"SyncDir":        {"fsyncdir", func() error { return SyncDir(dir) }},
		"FreeSpace":      {"statfs", func() error { _, err := FreeSpace(f); return err }},
	}
}

// unlinkIn is Unlink in the directory of that name.
func unlinkIn(dir, name string, f *os.File) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return Unlink(root, name, f)
}

// newFixture is a file, its mapping and a directory.
func newFixture(t *testing.T) (f, dir *os.File, m *Mapping) {
	t.Helper()
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	f = newFile(t, 2*PageSize())
	return f, dir, newMapping(t, f, MapOptions{Access: ReadWrite, Len: 2 * PageSize()})
}

func TestInject(t *testing.T) {
	f, dir, m := newFixture(t)
	cause := errors.New("injected")
	for name, c := range calls(f, dir, m) {
		t.Run(name, func(t *testing.T) {
			asked := 0
			restore := Inject(func(op string) error {
				if op == c.op {
					asked++
					return cause
				}
				return nil
			})
			err := c.fn()
			restore()
			if err != cause {
				t.Errorf("error = %v, want the injected one", err)
			}
			if asked != 1 {
				t.Errorf("the hook was asked for %q %d times, want once", c.op, asked)
			}
		})
	}
	if size := fileLen(t, f); size != 2*PageSize() {
		t.Errorf("a call was made all the same: the file has %d bytes", size)
	}
	if got := m.bytes(0, 1)[0]; got != 1 {
		t.Errorf("first byte = %d, want 1", got)
	}
}

func fileLen(t *testing.T, f *os.File) int64 {
	t.Helper()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return fi.Size()
}

func TestInjectNests(t *testing.T) {
	f, _, _ := newFixture(t)
	var outer, inner atomic.Int32
	restoreOuter := Inject(func(string) error { outer.Add(1); return nil })
	restoreInner := Inject(func(string) error { inner.Add(1); return nil })
	_ = SyncFile(f)
	restoreInner()
	_ = SyncFile(f)
	restoreOuter()
	_ = SyncFile(f)
	if o, i := outer.Load(), inner.Load(); o != 1 || i != 1 {
		t.Errorf("outer and inner hooks were asked %d and %d times, want once each", o, i)
	}
}

func TestWithoutNests(t *testing.T) {
	a := Without("populate")
	b := Without("ficlone")
	if !without("populate") || !without("ficlone") || without("reserve") {
		t.Error("two features should be missing")
	}
	b()
	if !without("populate") || without("ficlone") {
		t.Error("one feature should be missing")
	}
	a()
	if without("populate") || absent.Load() != nil {
		t.Error("no feature should be missing")
	}
}

func BenchmarkInjectedUnset(b *testing.B) {
	for b.Loop() {
		if err := injected("msync"); err != nil {
			b.Fatal(err)
		}
	}
}

// A descriptor that has been closed is an error, never another file's.
func TestClosedFile(t *testing.T) {
	f, dir, m := newFixture(t)
	all := calls(f, dir, m)
	f.Close()
	dir.Close()
	for _, name := range []string{
		"Map", "Truncate", "Allocate", "FillHoles", "PunchHole", "StartWriteback", "CopyRange", "SyncFile", "SyncDir", "FreeSpace",
	} {
		t.Run(name, func(t *testing.T) {
			err := all[name].fn()
			if !errors.Is(err, fs.ErrClosed) && !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("error = %v, want %v", err, fs.ErrClosed)
			}
		})
	}
	if _, err := Allocated(f); !errors.Is(err, fs.ErrClosed) && !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Allocated = %v, want %v", err, fs.ErrClosed)
	}
}
