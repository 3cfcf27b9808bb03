package core_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// onDisks runs a test on small disks of each file system that can promise
// blocks.
func onDisks(t *testing.T, size int64, test func(t *testing.T, dir string, free int64)) {
	for _, fstype := range []string{"tmpfs", "ext4", "xfs"} {
		t.Run(fstype, func(t *testing.T) {
			size := max(size, testutil.MinSize(fstype))
			test(t, testutil.LoopDisk(t, size, fstype), size)
		})
	}
}

// fill takes every block that is left.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	check(t, err)
	defer f.Close()
	for n := MiB; n >= KiB; {
		if _, err := f.Write(make([]byte, n)); errors.Is(err, sys.ErrNoSpace) {
			n /= 2
		} else {
			check(t, err)
		}
	}
	check(t, f.Sync())
}

// What the disk cannot hold is refused by the call that asks for it, which
// leaves everything as it was.
func TestDiskFullIsReportedAhead(t *testing.T) {
	onDisks(t, 8*MiB, func(t *testing.T, dir string, size int64) {
		absent := filepath.Join(dir, "absent")
		if _, err := core.Create(absent, 2*size); !errors.Is(err, sys.ErrNoSpace) {
			t.Errorf("Create: %v", err)
		}
		if _, err := os.Lstat(absent); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a failed Create left a file: %v", err)
		}

		want := pattern(64*KiB, 1)
		name := filepath.Join(dir, "file")
		check(t, os.WriteFile(name, want, 0o600))
		if _, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Size: 2 * size}); !errors.Is(err, sys.ErrNoSpace) {
			t.Errorf("OpenFile with a size: %v", err)
		}
		f := opened(t, name, core.Options{Access: core.ReadWrite})
		p := pinned(t, f, 0, 64*KiB)
		if err := f.Truncate(2 * size); !errors.Is(err, sys.ErrNoSpace) {
			t.Errorf("Truncate: %v", err)
		}
		if f.Len() != 64*KiB || !bytes.Equal(p.Bytes(), want) {
			t.Errorf("after a failed Truncate the window has %d bytes", f.Len())
		}
		p.Release()
		check(t, f.Truncate(128*KiB)) // what there is room for is available
		check(t, f.Truncate(64*KiB))
		check(t, f.Close())

		holes := filepath.Join(dir, "holes")
		check(t, os.WriteFile(holes, nil, 0o600))
		check(t, os.Truncate(holes, 2*size))
		if _, err := core.OpenFile(holes, core.Options{Access: core.ReadWrite}); !errors.Is(err, sys.ErrNoSpace) {
			t.Errorf("OpenFile of a file with holes: %v", err)
		}
		check(t, opened(t, holes, core.Options{Access: core.ReadWrite, Sparse: true}).Close())
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the file changed, %v", err)
		}
		if fi, err := os.Stat(holes); err != nil || fi.Size() != 2*size {
			t.Errorf("the file with holes has %d bytes, %v", fi.Size(), err)
		}
	})
}

// Once a call has succeeded no store can find the disk full, however the file
// got its bytes: by this library, by another process that left holes, before
// opening or after.
func TestStoresAfterSuccessMeetNoFullDisk(t *testing.T) {
	onDisks(t, 16*MiB, func(t *testing.T, dir string, _ int64) {
		hollow := func(name string, size int64) {
			t.Helper()
			check(t, os.WriteFile(name, nil, 0o600))
			check(t, os.Truncate(name, size))
		}
		files := map[string]*core.File{}
		open := func(what string, o core.Options) *core.File {
			o.Access, o.Create = core.ReadWrite, true
			files[what] = opened(t, filepath.Join(dir, what), o)
			return files[what]
		}
		open("created", core.Options{Size: MiB})
		check(t, open("grown", core.Options{Size: 10, Reserve: 1}).Truncate(MiB))
		hollow(filepath.Join(dir, "opened"), MiB)
		open("opened", core.Options{})
		hollow(filepath.Join(dir, "window"), MiB)
		open("window", core.Options{Offset: 5000, Length: 100_000})

		f := open("refreshed", core.Options{Size: 10})
		check(t, os.Truncate(f.Name(), MiB))
		if n, err := f.Refresh(); n != MiB || err != nil {
			t.Fatalf("Refresh: %d, %v", n, err)
		}
		for what, to := range map[string]int64{"cut to less": MiB, "cut to the same": 2 * MiB, "made even longer": 3 * MiB} {
			f := open(what, core.Options{Size: 10})
			check(t, os.Truncate(f.Name(), 2*MiB)) // by another process
			check(t, f.Truncate(to))
		}
		fill(t, dir)
		for what, f := range files {
			if err := f.Update(func(b []byte) error {
				for i := range b {
					b[i] = 1
				}
				return nil
			}); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if err := f.Flush(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// On a full disk a file that has its blocks can be opened and stored to;
// growing it fails, and so does taking up what another process has added
// without blocks.
func TestGrowthOnAFullDisk(t *testing.T) {
	onDisks(t, 8*MiB, func(t *testing.T, dir string, _ int64) {
		f, err := core.Create(filepath.Join(dir, "file"), 64*KiB)
		check(t, err)
		defer f.Close()
		fill(t, dir)
		if err := f.Truncate(4 * MiB); !errors.Is(err, sys.ErrNoSpace) {
			t.Errorf("Truncate: %v", err)
		}
		check(t, os.Truncate(f.Name(), 4*MiB))
		if n, err := f.Refresh(); n != 0 || !errors.Is(err, sys.ErrNoSpace) {
			t.Errorf("Refresh: %d, %v", n, err)
		}
		if err := f.Truncate(3 * MiB); !errors.Is(err, sys.ErrNoSpace) {
			t.Errorf("Truncate of what others have added: %v", err)
		}
		if fi, err := f.Stat(); err != nil || fi.Size() != 4*MiB || f.Len() != 64*KiB {
			t.Errorf("the file has %d bytes, the window %d, %v", fi.Size(), f.Len(), err)
		}
		check(t, f.Update(func(b []byte) error { copy(b, "stored"); return nil }))
		check(t, f.Flush())
	})
}

// A disk without a limit reports no blocks at all; that must not be taken for a
// full one.
func TestDiskWithoutALimit(t *testing.T) {
	name := filepath.Join(testutil.LoopDisk(t, 0, "tmpfs"), "file")
	check(t, os.WriteFile(name, nil, 0o600))
	check(t, os.Truncate(name, MiB))
	f := opened(t, name, core.Options{Access: core.ReadWrite})
	check(t, f.Truncate(2*MiB))
}

// The blocks of the extent tree do not stand for a hole that is there: a file
// of many pieces on ext4 has more blocks than bytes, in spite of it.
func TestHoleBehindOtherBlocks(t *testing.T) {
	onDisks(t, 16*MiB, func(t *testing.T, dir string, _ int64) {
		const pages = 64
		page := make([]byte, 4*KiB)
		a, err := os.Create(filepath.Join(dir, "file"))
		check(t, err)
		defer a.Close()
		b, err := os.Create(filepath.Join(dir, "other"))
		check(t, err)
		defer b.Close()
		for i := range int64(pages) { // in turns, so that no two pages of one are neighbours
			if i != 10 {
				_, err := a.WriteAt(page, i*4*KiB)
				check(t, err)
			}
			check(t, a.Sync())
			_, err := b.WriteAt(page, i*4*KiB)
			check(t, err)
			check(t, b.Sync())
		}
		f := opened(t, a.Name(), core.Options{Access: core.ReadWrite})
		fill(t, dir)
		check(t, f.Update(func(b []byte) error {
			for i := range b {
				b[i] = 1
			}
			return nil
		}))
		check(t, f.Flush())
	})
}

// An opening that fails for want of room leaves the disk as full as it was,
// with the window at the start and behind data, in one hole and in many.
func TestFailedOpeningTakesNoRoom(t *testing.T) {
	onDisks(t, 64*MiB, func(t *testing.T, dir string, size int64) {
		name := filepath.Join(dir, "file")
		out, err := os.Create(name)
		check(t, err)
		defer out.Close()
		_, err = out.Write(make([]byte, 20*MiB))
		check(t, err)
		for at := int64(21 * MiB); at < 60*MiB; at += MiB { // a page of data in each MiB
			_, err = out.WriteAt(pattern(4*KiB, 1), at)
			check(t, err)
		}
		check(t, out.Truncate(2*size))
		check(t, out.Sync())
		before := free(t, out)
		for _, o := range []core.Options{{Offset: 20 * MiB}, {Offset: 20*MiB + 5000}, {}} {
			o.Access = core.ReadWrite
			if _, err := core.OpenFile(name, o); !errors.Is(err, sys.ErrNoSpace) {
				t.Errorf("offset %d: %v", o.Offset, err)
			}
			if now := free(t, out); now < before {
				t.Errorf("offset %d: %d bytes were free, %d are", o.Offset, before, now)
			}
		}
		// What fails after the holes were filled gives the blocks back.
		failing(t, sys.OpMmap, 0, syscall.EIO)
		if _, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Offset: 20 * MiB, Length: 4 * MiB}); !errors.Is(err, syscall.EIO) {
			t.Errorf("without memory: %v", err)
		}
		failing(t, "", 0, nil)
		check(t, out.Sync())
		if now := free(t, out); now < before-MiB/2 && filepath.Base(dir) != "tmpfs" {
			t.Errorf("%d bytes were free before an opening that failed, %d are", before, now)
		}
		got := make([]byte, 4*KiB)
		if _, err := out.ReadAt(got, 21*MiB); err != nil || !bytes.Equal(got, pattern(4*KiB, 1)) {
			t.Errorf("the file changed, %v", err)
		}
	})
}

// free is the room of the file system.
func free(t *testing.T, f *os.File) int64 {
	t.Helper()
	n, err := sys.FreeSpace(f)
	check(t, err)
	return n
}

// A file whose blocks were allocated ahead has no holes: opening it writes
// nothing, not even the time of its last change.
func TestOpeningWhatHasItsBlocks(t *testing.T) {
	onDisks(t, 16*MiB, func(t *testing.T, dir string, _ int64) {
		f, err := core.Create(filepath.Join(dir, "file"), 4*MiB)
		check(t, err)
		_, err = f.WriteAt(make([]byte, 4*KiB), MiB)
		check(t, err)
		check(t, f.Flush())
		before := stat(t, f).ModTime()
		check(t, f.Close())
		fill(t, dir)
		calls := failing(t, sys.OpFallocate, 0, syscall.EIO)
		g := opened(t, filepath.Join(dir, "file"), core.Options{Access: core.ReadWrite})
		if filepath.Base(dir) != "tmpfs" && (calls() != 0 || !stat(t, g).ModTime().Equal(before)) {
			t.Errorf("%d calls for blocks", calls())
		}
	})
}
