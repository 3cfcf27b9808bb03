package core_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// entries are the names in a directory.
func entries(t testing.TB, dir string) (names []string) {
	t.Helper()
	es, err := os.ReadDir(dir)
	check(t, err)
	for _, e := range es {
		names = append(names, e.Name())
	}
	return names
}

// oldFile makes a file in an empty directory, for a copy that fails to leave as it was.
func oldFile(t testing.TB, dir string) (name string) {
	t.Helper()
	name = filepath.Join(dir, "old")
	check(t, os.WriteFile(name, []byte("as it was"), 0o600))
	return name
}

// unchanged checks that the old file is, and is alone in its directory.
func unchanged(t testing.TB, name string) {
	t.Helper()
	if got, err := os.ReadFile(name); err != nil || string(got) != "as it was" {
		t.Errorf("the existing file is %q, %v", got, err)
	}
	if names := entries(t, filepath.Dir(name)); len(names) != 1 {
		t.Errorf("the directory has %v", names)
	}
}

func TestCopyTo(t *testing.T) {
	want := pattern(3*MiB+123, 1)
	for _, features := range [][]sys.Call{nil, {sys.CallFiclone}, {sys.CallFiclone, sys.CallCopyFileRange}} {
		for _, b := range []struct {
			name string
			f    func(t *testing.T) *core.File
		}{
			{"disk", func(t *testing.T) *core.File {
				return opened(t, tempFile(t, want), core.Options{Access: core.ReadWrite})
			}},
			{"read-only", func(t *testing.T) *core.File { return opened(t, tempFile(t, want), core.Options{}) }},
			{"offset", func(t *testing.T) *core.File {
				return opened(t, tempFile(t, append([]byte("12345"), want...)), core.Options{Offset: 5})
			}},
			{"memory", func(*testing.T) *core.File { return core.NewMemory("m", bytes.Clone(want)) }},
		} {
			t.Run(fmt.Sprintf("%s without %v", b.name, features), func(t *testing.T) {
				for _, feature := range features {
					defer sys.Disable(feature)()
				}
				f := b.f(t)
				dir := t.TempDir()
				for _, r := range [][2]int64{{0, f.Len()}, {1, 70_000}, {f.Len(), 0}, {4096, 8192}} {
					to := filepath.Join(dir, "copy")
					check(t, f.CopyTo(to, r[0], r[1]))
					if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, want[r[0]:r[0]+r[1]]) {
						t.Errorf("copy of %v: %d bytes, %v", r, len(got), err)
					}
				}
				if names := entries(t, dir); !slices.Equal(names, []string{"copy"}) {
					t.Errorf("the directory has %v", names)
				}
			})
		}
	}
}

func TestCopyToTakesPrivateBytes(t *testing.T) {
	f := opened(t, tempFile(t, pattern(64*KiB, 1)), core.Options{Access: core.CopyOnWrite})
	_, err := f.WriteAt([]byte("private"), 5000)
	check(t, err)
	to := filepath.Join(t.TempDir(), "copy")
	check(t, f.CopyTo(to, 0, f.Len()))
	if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, contents(t, f)) {
		t.Errorf("the copy differs (%v)", err)
	}
}

func TestCopyToNeverFollowsALink(t *testing.T) {
	dir := t.TempDir()
	f := opened(t, tempFile(t, []byte("new")), core.Options{})
	victim, link := filepath.Join(dir, "victim"), filepath.Join(dir, "link")
	check(t, os.WriteFile(victim, []byte("old"), 0o600))
	symlink(t, victim, link)
	check(t, f.CopyTo(link, 0, 3))
	if fi, err := os.Lstat(link); err != nil || fi.Mode().Type() != 0 {
		t.Errorf("the link is %v, %v", fi.Mode(), err)
	}
	if got, _ := os.ReadFile(victim); string(got) != "old" {
		t.Errorf("what the link led to is %q", got)
	}
}

func TestCopyToReplaces(t *testing.T) {
	dir := t.TempDir()
	f := opened(t, tempFile(t, []byte("new")), core.Options{})
	victim := filepath.Join(dir, "victim")
	check(t, os.WriteFile(victim, []byte("old"), 0o600))
	check(t, f.CopyTo(victim, 0, 3))
	if got, _ := os.ReadFile(victim); string(got) != "new" {
		t.Errorf("the existing file is %q", got)
	}
	private := filepath.Join(dir, "private")
	check(t, os.WriteFile(private, []byte("secret"), 0o600))
	p := opened(t, private, core.Options{})
	check(t, p.CopyTo(filepath.Join(dir, "copy"), 0, 6))
	if fi, err := os.Stat(filepath.Join(dir, "copy")); err != nil || fi.Mode().Perm()&^0o600 != 0 && runtime.GOOS != "windows" {
		t.Errorf("the copy of a private file is %v, %v", fi.Mode(), err)
	}
}

func TestCopyToThatFailsLeavesNothing(t *testing.T) {
	f := opened(t, tempFile(t, pattern(64*KiB, 1)), core.Options{})
	dir := t.TempDir()
	old := oldFile(t, dir)
	for _, op := range []sys.Op{sys.OpCopyFileRange, sys.OpFsync} {
		failing(t, op, 0, syscall.EIO)
		if err := f.CopyTo(old, 0, f.Len()); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", op, err)
		}
	}
	failing(t, "", 0, nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.CopyToContext(ctx, old, 0, f.Len()); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that is done: %v", err)
	}
	for _, name := range []string{"", ".", "..", string(filepath.Separator), filepath.Join(dir, "no", "such")} {
		if err := f.CopyTo(name, 0, 1); err == nil {
			t.Errorf("copied to %q", name)
		}
	}
	if err := f.CopyTo(dir, 0, 1); err == nil {
		t.Error("copied over a directory")
	}
	if err := f.CopyTo(old, 0, f.Len()+1); !errors.Is(err, core.ErrRange) {
		t.Errorf("outside the window: %v", err)
	}
	unchanged(t, old)
}

func TestCopyToOfAFileThatWasCut(t *testing.T) {
	for _, features := range [][]sys.Call{nil, {sys.CallFiclone, sys.CallCopyFileRange}} {
		for _, feature := range features {
			defer sys.Disable(feature)()
		}
		f := shortened(t, core.Options{})
		to := f.Name() + ".to"
		wantFault(t, f, f.CopyTo(to, 0, f.Len()), 4*KiB, MiB)
		if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a file is there: %v", err)
		}
	}
}

func TestZeroAndPunchHole(t *testing.T) {
	for _, b := range resizable {
		t.Run(b.name, func(t *testing.T) {
			want := pattern(256*KiB, 1)
			f := b.open(t, want, MiB)
			for _, r := range [][2]int64{{0, 0}, {1, 1}, {4096, 4096}, {10_001, 100_000}, {256*KiB - 1, 1}} {
				for name, do := range map[string]func(off, n int64) error{"Zero": f.Zero, "PunchHole": f.PunchHole} {
					err := do(r[0], r[1])
					if name == "PunchHole" && missingHere(err) {
						continue
					}
					if err != nil {
						t.Errorf("%s%v: %v", name, r, err)
					}
					clear(want[r[0] : r[0]+r[1]])
					if !bytes.Equal(contents(t, f), want) {
						t.Fatalf("%s%v: the bytes differ", name, r)
					}
				}
			}
			for _, r := range [][2]int64{{-1, 1}, {0, -1}, {0, 256*KiB + 1}, {1 << 62, 1 << 62}} {
				for _, err := range []error{f.Zero(r[0], r[1]), f.PunchHole(r[0], r[1])} {
					if !errors.Is(err, core.ErrRange) {
						t.Errorf("%v: %v", r, err)
					}
				}
			}
		})
	}
}

func TestPunchHoleFreesBlocks(t *testing.T) {
	name := tempFile(t, pattern(4*MiB, 1))
	f := opened(t, name, core.Options{Access: core.ReadWrite})
	check(t, f.Flush())
	file, err := os.Open(name)
	check(t, err)
	defer file.Close()
	before, err := sys.Allocated(file)
	check(t, err)
	if err := f.PunchHole(MiB, 2*MiB); missingHere(err) {
		t.Skipf("no holes here: %v", err)
	} else {
		check(t, err)
	}
	after, err := sys.Allocated(file)
	check(t, err)
	if before-after < 2*MiB-8*KiB {
		t.Errorf("%d bytes of blocks before, %d after", before, after)
	}
	if f.Len() != 4*MiB {
		t.Errorf("length %d", f.Len())
	}
}

func TestSyncDir(t *testing.T) {
	dir := t.TempDir()
	check(t, core.SyncDir(dir))
	check(t, core.SyncParent(filepath.Join(dir, "any")))
	for _, err := range []error{core.SyncDir(filepath.Join(dir, "no")), core.SyncParent(filepath.Join(dir, "no", "such"))} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	}
}

// A step of a copy grows with what takes no time up to 32 MiB, and one that took
// long is followed by one that takes 10 ms, or has 1 MiB.
func TestStepsOfACopy(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		size int64
		took time.Duration
		want int64
	}{
		{MiB, 0, 2 * MiB}, {16 * MiB, 4 * ms, 32 * MiB}, {32 * MiB, 0, 32 * MiB},
		{8 * MiB, 5 * ms, 8 * MiB}, {8 * MiB, 20 * ms, 8 * MiB},
		{32 * MiB, 40 * ms, 8 * MiB}, {32 * MiB, 30 * ms, 10 * MiB}, {32 * MiB, time.Second, MiB}, {MiB, time.Minute, MiB},
	} {
		if got := core.NextStep(tt.size, tt.took); got != tt.want {
			t.Errorf("after %d bytes in %v: got %d, want %d", tt.size, tt.took, got, tt.want)
		}
	}
}

// A Copy that is canceled between its steps leaves nothing, and is over.
func TestCopyCanceledBetweenSteps(t *testing.T) {
	f := memory(t, pattern(3*MiB, 1))
	dir := t.TempDir()
	for steps := range 4 { // of five
		c, err := f.StartCopy(filepath.Join(dir, "copy"), 0, f.Len())
		if err != nil {
			t.Fatal(err)
		}
		for range steps {
			if done, err := c.Step(); done || err != nil {
				t.Fatalf("Step: got %v, %v, want neither the end nor an error", done, err)
			}
		}
		c.Cancel()
		c.Cancel()
		if names := entries(t, dir); len(names) != 0 {
			t.Errorf("canceled after %d steps: the directory has %v", steps, names)
		}
		if _, err := c.Step(); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Step of a canceled copy: got %v, want %v", err, fs.ErrClosed)
		}
	}
	if err := f.Truncate(0); err != nil { // waits for pins
		t.Fatal(err)
	}
}
