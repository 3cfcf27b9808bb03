package torture

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

// A process that meets a limit of the system gets errors, nothing is changed or
// left behind, and it goes on.
func TestLimits(t *testing.T) {
	testutil.RequireCapability(t, testutil.CapSetuid) // to become another user
	for _, limit := range []string{"descriptors", "address space", "locked memory", "maps", "permissions"} {
		t.Run(limit, func(t *testing.T) {
			dir := t.TempDir()
			for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
				check(t, os.Chmod(d, 0o777)) // for the user that the process becomes
			}
			said, err := testutil.Reexec(t, "limited", limitEnv+"="+limit, limitDirEnv+"="+dir).Wait()
			if err != nil {
				t.Error(err)
			}
			counted(t, "%s", strings.TrimSpace(said))
		})
	}
}

// On a file system that was mounted read-only, calls that need no writing
// succeed, and the others return an error.
func TestReadOnlyFileSystem(t *testing.T) {
	testutil.NoLeaks(t)
	dir := testutil.LoopDisk(t, 16*mib, "ext4")
	name, contents := filepath.Join(dir, "file"), pattern(0, 10_000, 3)
	check(t, os.WriteFile(name, contents, 0o600))
	check(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	for what, err := range map[string]error{
		"Create":        second(core.Create(filepath.Join(dir, "new"), 10)),
		"Create, there": second(core.Create(name, 10)),
		"OpenFile":      second(core.OpenFile(name, core.Options{Access: core.ReadWrite})),
	} {
		if !errors.Is(err, unix.EROFS) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	for _, access := range []core.Access{core.ReadOnly, core.CopyOnWrite} {
		f := must[*core.File](t)(core.OpenFile(name, core.Options{Access: access}))
		for what, err := range map[string]error{"Remove": f.Remove(), "CopyTo": f.CopyTo(filepath.Join(dir, "copy"), 0, 10)} {
			if !errors.Is(err, unix.EROFS) {
				t.Errorf("%s: got %v", what, err)
			}
		}
		check(t, f.CopyTo(filepath.Join(t.TempDir(), "copy"), 0, f.Len()))
		if access == core.CopyOnWrite {
			check(t, second(f.WriteAt(contents[100:200], 0)))
			check(t, f.Zero(300, 100))
		}
		check(t, f.Close())
	}
	if got := must[[]byte](t)(os.ReadFile(name)); !bytes.Equal(got, contents) {
		t.Error("the file has changed")
	}
	if entries := must[[]os.DirEntry](t)(os.ReadDir(dir)); len(entries) != 2 { // and lost+found
		t.Errorf("the directory has %v", entries)
	}
	counted(t, "7 changes refused")
}

// On a file system of layers a file changes its place when it is first written;
// a reader that has it open sees what was there.
func TestOverlay(t *testing.T) {
	testutil.NoLeaks(t)
	disk := testutil.LoopDisk(t, 64*mib, "tmpfs")
	sub := func(name string) string {
		d := filepath.Join(disk, name)
		check(t, os.Mkdir(d, 0o755))
		return d
	}
	lower, upper, work, dir := sub("lower"), sub("upper"), sub("work"), sub("merged")
	below := pattern(0, 10_000, 3)
	for _, name := range []string{"a", "b", "c"} {
		check(t, os.WriteFile(filepath.Join(lower, name), below, 0o644))
	}
	check(t, unix.Mount("overlay", dir, "overlay", 0, "lowerdir="+lower+",upperdir="+upper+",workdir="+work))
	defer func() { check(t, testutil.Unmount(dir)) }()
	healthy(t, dir)

	// One reader, while a writer copies the file up; both may remove it.
	r := must[*core.File](t)(core.Open(filepath.Join(dir, "a")))
	w := must[*core.File](t)(core.OpenFile(filepath.Join(dir, "a"), core.Options{Access: core.ReadWrite, NoLock: true}))
	check(t, w.Zero(0, 100))
	check(t, w.Truncate(20_000))
	check(t, w.Flush())
	if got := must[[]byte](t)(r.Clone()); !bytes.Equal(got[100:], below[100:]) {
		t.Error("the reader does not see what is below")
	}
	check(t, r.CopyTo(filepath.Join(dir, "copy"), 0, r.Len()))
	check(t, w.CopyTo(filepath.Join(dir, "b"), 0, w.Len()))
	if got := must[[]byte](t)(os.ReadFile(filepath.Join(dir, "b"))); !bytes.Equal(got[100:10_000], below[100:]) || len(got) != 20_000 {
		t.Error("the copy over a file below is not what was copied")
	}
	check(t, w.Remove())
	if err := r.Remove(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removing it again: %v", err)
	}
	check(t, errors.Join(r.Close(), w.Close()))
	// A file that is only below is removed by a note above.
	c := must[*core.File](t)(core.Open(filepath.Join(dir, "c")))
	check(t, c.Remove())
	check(t, c.Close())
	if _, err := os.Lstat(filepath.Join(dir, "c")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a removed file is there: %v", err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if got := must[[]byte](t)(os.ReadFile(filepath.Join(lower, name))); !bytes.Equal(got, below) {
			t.Errorf("%s below has changed", name)
		}
	}
	counted(t, "3 files below as they were")
}

// Files as long as 4 TiB, and of lengths about which other numbers end, hold
// what is stored at their edges.
func TestLongFiles(t *testing.T) {
	testutil.NoLeaks(t)
	for _, fstype := range []string{"ext4", "tmpfs"} {
		dir := testutil.LoopDisk(t, 64*mib, fstype)
		name := filepath.Join(dir, "long")
		for _, size := range []int64{
			math.MaxInt32 - 1, math.MaxInt32, math.MaxInt32 + 1, math.MaxUint32, math.MaxUint32 + 1, 4<<40 - 1, 4 << 40,
		} {
			long(t, name, size)
		}
		healthy(t, dir)
	}
	counted(t, "14 files of 2 GiB to 4 TiB")
}

// long checks a file of the size.
func long(t *testing.T, name string, size int64) {
	t.Helper()
	f := must[*core.File](t)(core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true, Truncate: true, Sparse: true, Size: size}))
	places := []int64{0, 1<<31 - 16, 1<<32 - 16, size / 2, size - 16}
	for _, off := range places {
		if off+16 > size {
			continue
		}
		check(t, second(f.WriteAt(pattern(off, 16, 1), off)))
		check(t, f.FlushRange(off, 16))
	}
	check(t, f.Flush())
	check(t, f.CopyTo(name+".copy", size-5000, 5000))
	if got := must[[]byte](t)(os.ReadFile(name + ".copy")); !bytes.Equal(got[4984:], pattern(size-16, 16, 1)) {
		t.Errorf("the copy of the end of %d bytes is wrong", size)
	}
	for _, err := range []error{second(f.WriteAt([]byte{1, 2}, size-1)), f.Zero(size-1, 2), second(f.Pin(size, 1)), f.FlushRange(1, size)} {
		if err == nil {
			t.Errorf("what reaches past %d bytes goes well", size)
		}
	}
	check(t, f.Close())
	// A window on the end alone.
	w := must[*core.File](t)(core.OpenFile(name, core.Options{Offset: size - 16}))
	if got := must[[]byte](t)(w.Clone()); !bytes.Equal(got, pattern(size-16, 16, 1)) {
		t.Errorf("the end of %d bytes is %x", size, got)
	}
	check(t, w.Close())
	g := must[*core.File](t)(core.OpenFile(name, core.Options{Access: core.ReadWrite, Sparse: true}))
	for _, off := range places {
		var b [16]byte
		if off+16 > size {
			continue
		}
		if check(t, second(g.ReadAt(b[:], off))); !bytes.Equal(b[:], pattern(off, 16, 1)) {
			t.Errorf("%d of %d bytes: %x", off, size, b)
		}
	}
	check(t, g.PunchHole(0, size))
	check(t, g.Truncate(10))
	if g.Len() != 10 {
		t.Errorf("the window has %d bytes of 10", g.Len())
	}
	check(t, g.Remove())
	check(t, errors.Join(g.Close(), os.Remove(name+".copy")))
}

// Offsets and lengths at which sums overflow are refused by whatever takes
// them, and change nothing.
func TestEdgesOfNumbers(t *testing.T) {
	testutil.NoLeaks(t)
	name := filepath.Join(t.TempDir(), "file")
	contents := pattern(0, 10_000, 1)
	check(t, os.WriteFile(name, contents, 0o600))
	f := must[*core.File](t)(core.OpenFile(name, core.Options{Access: core.ReadWrite, NoLock: true}))
	guard := must[*os.File](t)(os.Open(name))
	tries := 0
	for _, off := range []int64{math.MinInt64, -1, 0, 1, 9_999, 10_001, math.MaxInt32, math.MaxUint32, math.MaxInt64 - 9_999, math.MaxInt64} {
		for _, n := range []int64{math.MinInt64, -1, 10_001, math.MaxInt32 + 1, math.MaxInt64 - 1, math.MaxInt64} {
			for what, err := range map[string]error{
				"Pin": second(f.Pin(off, n)), "Zero": f.Zero(off, n), "PunchHole": f.PunchHole(off, n), "FlushRange": f.FlushRange(off, n),
				"StartWriteback": f.StartWriteback(off, n), "Advise": f.Advise(core.AdviceWillNeed, off, n), "Populate": f.Populate(off, n),
				"LockMemory": f.LockMemory(off, n), "UnlockMemory": f.UnlockMemory(off, n), "CopyTo": f.CopyTo(name+".copy", off, n),
				"NewReader": second(f.NewReader(off, n)), "NewWriter": second(f.NewWriter(off, n)),
			} {
				if tries++; !errors.Is(err, core.ErrRange) {
					t.Errorf("%s(%d, %d): got %v", what, off, n, err)
				}
			}
		}
	}
	for _, n := range []int64{math.MinInt64, -1, math.MaxInt64 - 4095, math.MaxInt64 - 1, math.MaxInt64} {
		rw := core.Options{Access: core.ReadWrite, NoLock: true, Truncate: true}
		with := func(set func(o *core.Options)) error { o := rw; set(&o); return second(core.OpenFile(name, o)) }
		for what, err := range map[string]error{
			"Truncate": f.Truncate(n), "Size": with(func(o *core.Options) { o.Size = n }), "Sparse Size": with(func(o *core.Options) { o.Size, o.Sparse = n, true }),
			"Offset": with(func(o *core.Options) { o.Offset = n }), "Length": with(func(o *core.Options) { o.Length = n }),
			"Offset and Length": with(func(o *core.Options) { o.Offset, o.Length = 4096, n }), "NewAnonymous": second(core.NewAnonymous(n, core.Options{})),
			"ReadAt": second(f.ReadAt(make([]byte, 10), n)), "WriteAt": second(f.WriteAt(make([]byte, 10), n)),
		} {
			if tries++; err == nil {
				t.Errorf("%s %d goes well", what, n)
			}
		}
		if l := lock.New(guard).Range(n, 10); l.Try(lock.Shared) == nil {
			if n < 0 {
				t.Errorf("a range that starts at %d is locked", n)
			}
			check(t, l.Release())
		}
	}
	if got := must[[]byte](t)(os.ReadFile(name)); !bytes.Equal(got, contents) || f.Len() != 10_000 {
		t.Error("what was refused has changed the file")
	}
	check(t, errors.Join(f.Close(), guard.Close()))
	counted(t, "%d calls refused", tries)
}
