package core_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// during calls fn once, in the middle of what makes the given system call.
func during(t *testing.T, op sys.Op, fn func()) {
	t.Helper()
	var once atomic.Bool
	t.Cleanup(sys.Inject(func(o sys.Op) error {
		if o == op && once.CompareAndSwap(false, true) {
			fn()
		}
		return nil
	}))
}

// A directory that is swapped for a link while the copy is made leads it
// nowhere else.
func TestCopyToWhoseDirectoryIsSwapped(t *testing.T) {
	renamesParents(t)
	for _, op := range []sys.Op{sys.OpCopyFileRange, sys.OpFsync, sys.OpFsyncDir} {
		t.Run(string(op), func(t *testing.T) {
			f := opened(t, tempFile(t, []byte("contents")), core.Options{})
			dir := t.TempDir()
			to, trap, moved := filepath.Join(dir, "d"), filepath.Join(dir, "trap"), filepath.Join(dir, "moved")
			check(t, os.Mkdir(to, 0o700))
			check(t, os.Mkdir(trap, 0o700))
			during(t, op, func() {
				check(t, os.Rename(to, moved))
				symlink(t, trap, to)
			})
			check(t, f.CopyTo(filepath.Join(to, "copy"), 0, 8))
			if got := tree(t, dir); !slices.Equal(got, []string{"d", "moved", "moved/copy", "trap"}) {
				t.Errorf("there are %v", got)
			}
		})
	}
}

// Until the copy is complete and durable, its name means what it meant before.
func TestCopyToShowsNothingUnfinished(t *testing.T) {
	for _, op := range []sys.Op{sys.OpCopyFileRange, sys.OpFsync} {
		for _, before := range []string{"", "the old file"} {
			f := opened(t, tempFile(t, []byte("the new one!")), core.Options{})
			to := filepath.Join(t.TempDir(), "copy")
			if before != "" {
				check(t, os.WriteFile(to, []byte(before), 0o600))
			}
			looked := false
			during(t, op, func() {
				looked = true
				if got, err := os.ReadFile(to); string(got) != before || before == "" && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("in %s the name has %q, %v", op, got, err)
				}
			})
			check(t, f.CopyTo(to, 0, 12))
			if got, err := os.ReadFile(to); string(got) != "the new one!" || err != nil {
				t.Errorf("the copy is %q, %v", got, err)
			}
			if !looked && op != sys.OpCopyFileRange {
				t.Errorf("%s was not called", op)
			}
		}
	}
}

// The file that is mapped may itself be replaced; the mapping goes on with the
// old one.
func TestCopyToOntoItself(t *testing.T) {
	name := tempFile(t, []byte("0123456789"))
	f := opened(t, name, core.Options{Access: core.ReadWrite})
	if err := f.CopyTo(name, 5, 5); err != nil {
		if sys.ShrinkNeedsUnmap {
			t.Skipf("this system replaces no file that is mapped: %v", err)
		}
		t.Fatal(err)
	}
	if got, err := os.ReadFile(name); string(got) != "56789" || err != nil {
		t.Errorf("the name has %q, %v", got, err)
	}
	if got := string(contents(t, f)); got != "0123456789" {
		t.Errorf("the mapping has %q", got)
	}
	if err := f.Remove(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Remove, which is not for the copy: %v", err)
	}
}

func TestCopyToAFullDisk(t *testing.T) {
	old := oldFile(t, testutil.LoopDisk(t, 64*KiB, "tmpfs"))
	onEach(t, func(t *testing.T, b backend) {
		f := b.open(t, pattern(MiB, 1))
		if err := f.CopyTo(old, 0, MiB); !errors.Is(err, sys.ErrNoSpace) {
			t.Errorf("got %v", err)
		}
		unchanged(t, old)
	})
}

// Blocks that are shared hold old bytes where the kernel could not write what
// is in memory. It reports that once, so the copy holds the bytes in memory, and
// every later flush returns the failure.
func TestCopyToOfWhatWasNotWritten(t *testing.T) {
	want := pattern(64*KiB, 1)
	f := opened(t, tempFile(t, want), core.Options{Access: core.ReadWrite})
	if err := f.StartWriteback(0, 1); missingHere(err) {
		t.Skip(err) // and the kernel copies nothing
	}
	failing(t, sys.OpSyncFileRange, 1, syscall.EIO)
	to := f.Name() + ".to"
	for range 2 {
		check(t, f.CopyTo(to, 0, f.Len()))
		if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the copy has %d bytes, %v", len(got), err)
		}
	}
	if err := f.Flush(); !errors.Is(err, core.ErrFlushFailed) || !errors.Is(err, syscall.EIO) {
		t.Errorf("flushing then: %v", err)
	}
}

// The device writes what a long copy has copied while that goes on. The kernel
// reports a failure of it once, so it is the copy's.
func TestCopyToMeetsAFailureWhileItIsMade(t *testing.T) {
	f := opened(t, tempFile(t, pattern(8*MiB, 1)), core.Options{Access: core.ReadWrite})
	if err := f.StartWriteback(0, 1); missingHere(err) {
		t.Skip(err)
	}
	for _, call := range []int{1, 2, 3} { // beginning with the first step, waiting with the second
		dir := t.TempDir()
		failing(t, sys.OpSyncFileRange, call, syscall.EIO)
		if err := f.CopyTo(filepath.Join(dir, "copy"), 0, f.Len()); !errors.Is(err, syscall.EIO) || errors.Is(err, core.ErrFault) {
			t.Errorf("call %d fails: got %v, want EIO", call, err)
		}
		if names := entries(t, dir); len(names) != 0 {
			t.Errorf("call %d fails: the directory has %v", call, names)
		}
	}
	check(t, f.Flush()) // the source has not failed
}

// The first steps of a copy are short, and none has more than twice the bytes of
// the one before it, so that a slow device does not make one long.
func TestCopyBeginsWithShortSteps(t *testing.T) {
	name := tempFile(t, nil)
	check(t, os.Truncate(name, 64*MiB))
	f := opened(t, name, core.Options{})
	c, err := f.StartCopy(name+".to", 0, f.Len())
	check(t, err)
	steps := 0
	for done := false; !done; steps++ {
		done, err = c.Step()
		check(t, err)
	}
	if steps < 8 { // 1, 2, 4 and so on to 32, what is left, and the end
		t.Errorf("64 MiB took %d steps, want at least 8", steps)
	}
}

// endsAfter is a context that is done when it has been asked so many times.
type endsAfter struct {
	context.Context
	asked atomic.Int32
	limit int32
}

func (c *endsAfter) Err() error {
	if c.asked.Add(1) > c.limit {
		return context.DeadlineExceeded
	}
	return nil
}

func TestCopyToIsGivenUpBetweenChunks(t *testing.T) {
	for _, b := range []backend{backends[0], {name: "memory", open: memory}} {
		f := b.open(t, pattern(8*MiB, 1))
		defer sys.Disable(sys.CallCopyFileRange)()
		defer sys.Disable(sys.CallFiclone)()
		dir := t.TempDir()
		ctx := &endsAfter{Context: t.Context(), limit: 4}
		err := f.CopyToContext(ctx, filepath.Join(dir, "copy"), 0, f.Len())
		if n := ctx.asked.Load(); err == nil || n < 5 || n > 8 {
			t.Errorf("%s: asked %d times, %v", b.name, n, err)
		}
		if names := entries(t, dir); len(names) != 0 {
			t.Errorf("%s: the directory has %v", b.name, names)
		}
		ready := false // when StartTruncate returns: nothing stood in the way
		c, err := f.StartTruncate(sizeOf(t, f, 0), func(*core.Change) { ready = true })
		check(t, err)
		if !ready {
			t.Errorf("%s: a pin is left", b.name)
			c.Cancel()
		}
		if err := c.Finish(); ready && err != nil {
			t.Errorf("%s: %v", b.name, err)
		}
	}
}

// The permissions of the copy are the source's at most, whatever the umask and
// the file it replaces.
func TestCopyToKeepsPermissions(t *testing.T) {
	if os.PathSeparator == '\\' {
		t.Skip("Windows has no such permissions")
	}
	for _, perm := range []fs.FileMode{0o600, 0o640, 0o400, 0o444, 0o700} {
		name := tempFile(t, []byte("secret"))
		check(t, os.Chmod(name, perm))
		f := opened(t, name, core.Options{})
		to := filepath.Join(t.TempDir(), "copy")
		check(t, os.WriteFile(to, []byte("open to all"), 0o600))
		check(t, os.Chmod(to, 0o666))
		during(t, sys.OpFsync, func() {
			for _, n := range entries(t, filepath.Dir(to)) {
				if fi, err := os.Stat(filepath.Join(filepath.Dir(to), n)); err != nil || n != "copy" && fi.Mode().Perm()&^perm != 0 {
					t.Errorf("while it is made, %s of a file of %v is %v, %v", n, perm, fi.Mode(), err)
				}
			}
		})
		check(t, f.CopyTo(to, 0, 6))
		if fi, err := os.Stat(to); err != nil || fi.Mode().Perm()&^perm != 0 {
			t.Errorf("the copy of a file of %v is %v, %v", perm, fi.Mode(), err)
		}
	}
}

// A name that is no directory, and a pipe without a writer, do not block.
func TestSyncDirOfOtherThings(t *testing.T) {
	name := tempFile(t, nil)
	if err := core.SyncDir(name); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a file: %v", err)
	}
	failing(t, sys.OpFsyncDir, 0, syscall.EIO)
	var pe *fs.PathError
	if err := core.SyncParent(name); !errors.Is(err, syscall.EIO) || !errors.As(err, &pe) || pe.Path != filepath.Dir(name) {
		t.Errorf("a directory that cannot be synced: %v", err)
	}
}

// Clone takes the window, not the file, and what it gives is the caller's own.
func TestClone(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		want := pattern(10_000, 1)
		f := b.open(t, bytes.Clone(want))
		got, err := f.Clone()
		check(t, err)
		if !bytes.Equal(got, want) {
			t.Error("the clone differs")
		}
		clear(got)
		if !bytes.Equal(contents(t, f), want) {
			t.Error("the clone is the window")
		}
	})
	t.Run("cut", func(t *testing.T) {
		f := shortened(t, core.Options{})
		_, err := f.Clone()
		wantFault(t, f, err, 4*KiB, MiB)
	})
}
