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
	op Op
	fn func() error
} {
	type call = struct {
		op Op
		fn func() error
	}
	return map[string]call{
		"Map":            {OpMmap, func() error { _, err := Map(f, MapOptions{Len: 1}); return err }},
		"Unmap":          {OpMunmap, m.Unmap},
		"Protect":        {OpMprotect, func() error { return m.Protect(Read) }},
		"Sync":           {OpMsync, func() error { return m.Sync(0, 1) }},
		"Advise":         {OpMadvise, func() error { return m.Advise(WillNeed, 0, 1) }},
		"Populate":       {OpMadvise, func() error { return m.Populate(0, 1, false) }},
		"Resident":       {OpMincore, func() error { _, _, err := m.Resident(0, 1); return err }},
		"LockMemory":     {OpMlock, func() error { return m.LockMemory(0, 1) }},
		"UnlockMemory":   {OpMlock, func() error { return m.UnlockMemory(0, 1) }},
		"Truncate":       {OpTruncate, func() error { return Truncate(f, 5) }},
		"Allocate":       {OpFallocate, func() error { return Allocate(f, 0, 5) }},
		"FillHoles":      {OpFallocate, func() error { return FillHoles(f, 0, 5) }},
		"PunchHole":      {OpPunch, func() error { return PunchHole(f, 0, 5) }},
		"StartWriteback": {OpSyncFileRange, func() error { return StartWriteback(f, 0, 5) }},
		"AwaitWriteback": {OpSyncFileRange, func() error { return AwaitWriteback(f, 0, 5) }},
		"CopyRange":      {OpCopyFileRange, func() error { _, err := CopyRange(f, 0, f, 0, 5); return err }},
		"SyncFile":       {OpFsync, func() error { return SyncFile(f) }},
		"Unlink":         {OpUnlink, func() error { return unlinkIn(dir.Name(), "none", f) }},
		"Dir.Sync":       {OpFsyncDir, func() error { return syncIn(dir.Name()) }},
		"OpenDir":        {OpOpenDir, func() error { return syncIn(dir.Name()) }},
		"SyncAll":        {OpSyncAll, func() error { return SyncAll(f) }},
		"PathOf":         {OpReadlink, func() error { _, err := PathOf(f); return err }},
		"Missing":        {OpHoles, func() error { _, _, err := Missing(f, 0, 5); return err }},
		"FreeSpace":      {OpStatfs, func() error { _, err := FreeSpace(f); return err }},
	}
}

// unlinkIn is Dir.Unlink in the directory of that name.
func unlinkIn(dir, name string, f *os.File) error {
	d, err := OpenDir(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Unlink(name, f)
}

// syncIn is Dir.Sync of the directory of that name.
func syncIn(name string) error {
	d, err := OpenDir(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
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
			restore := Inject(func(op Op) error {
				if op == c.op {
					asked++
					return cause
				}
				return nil
			})
			err := c.fn()
			restore()
			if !errors.Is(err, cause) {
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
	restoreOuter := Inject(func(Op) error { outer.Add(1); return nil })
	restoreInner := Inject(func(Op) error { inner.Add(1); return nil })
	_ = SyncFile(f)
	restoreInner()
	_ = SyncFile(f)
	restoreOuter()
	_ = SyncFile(f)
	if o, i := outer.Load(), inner.Load(); o != 1 || i != 1 {
		t.Errorf("outer and inner hooks were asked %d and %d times, want once each", o, i)
	}
}

func TestDisableNests(t *testing.T) {
	outer := Disable(CallPopulate)
	inner := Disable(CallFiclone)
	again := Disable(CallPopulate)
	again()
	if !CallPopulate.Missing() || !CallFiclone.Missing() || CallReserve.Missing() {
		t.Error("two calls should be missing")
	}
	inner()
	if !CallPopulate.Missing() || CallFiclone.Missing() {
		t.Error("one call should be missing")
	}
	outer()
	if disabled.Load() != 0 {
		t.Error("no call should be missing")
	}
}

func BenchmarkInjectedUnset(b *testing.B) {
	for b.Loop() {
		if err := injected(OpMsync); err != nil {
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
		"Map", "Truncate", "Allocate", "FillHoles", "PunchHole", "StartWriteback", "CopyRange", "SyncFile", "FreeSpace", "SyncAll", "Missing",
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
