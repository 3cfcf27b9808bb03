package testutil_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// mounted says whether a file system is mounted at dir or below.
func mounted(t *testing.T, dir string) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(b), " "+dir)
}

// attached is the number of loop devices on an image below dir.
func attached(t *testing.T, dir string) (n int) {
	t.Helper()
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(b), dir) {
			n++
		}
	}
	return n
}

func TestLoopDisk(t *testing.T) {
	testutil.RequireLinux(t, "loop devices")
	for _, fstype := range []string{"ext4", "xfs", "btrfs", "tmpfs"} {
		t.Run(fstype, func(t *testing.T) {
			var dir string
			used := t.Run("disk", func(t *testing.T) {
				testutil.NoLeaks(t)
				dir = testutil.LoopDisk(t, 16<<20, fstype)
				if !mounted(t, dir) {
					t.Fatal("nothing is mounted")
				}
				f, err := os.Create(filepath.Join(dir, "file"))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if err := sys.Allocate(f, 0, 4<<20); err != nil {
					t.Errorf("4 MiB do not fit: %v", err)
				}
				if err := sys.Allocate(f, 0, 512<<20); err == nil || errors.Is(err, errors.ErrUnsupported) {
					t.Errorf("512 MiB fit, or nobody knows: %v", err)
				}
			})
			if !used || mounted(t, dir) {
				t.Error("the disk is left")
			}
			testutil.WaitUntil(t, "the loop device is free", func() bool { return attached(t, filepath.Dir(filepath.Dir(dir))) == 0 })
		})
	}
}

// mountAndWait mounts a disk as [testutil.LoopDisk] does, and waits to be killed.
func mountAndWait() error {
	dir := os.Getenv("MOUNT_TEST")
	if _, err := testutil.UnmountIfKilled(dir); err != nil {
		return err
	}
	if err := testutil.MountImage(dir+".image", "ext4", dir); err != nil {
		return err
	}
	testutil.Say("mounted")
	testutil.Hear()
	return errors.New("it was not killed")
}

func TestDiskOfAKilledProcessIsUnmounted(t *testing.T) {
	testutil.RequireLinux(t, "loop devices")
	testutil.RequireRoot(t)
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := testutil.MakeImage(dir+".image", "ext4", 4<<20); err != nil {
		t.Fatal(err)
	}
	p := testutil.Reexec(t, "mount", "MOUNT_TEST="+dir)
	if p.Hear(); !mounted(t, dir) {
		t.Fatal("nothing is mounted")
	}
	p.Kill()
	testutil.WaitUntil(t, "it is unmounted", func() bool { return !mounted(t, dir) && attached(t, dir) == 0 })
}

func TestMountFails(t *testing.T) {
	testutil.RequireLinux(t, "loop devices")
	testutil.RequireRoot(t)
	dir := t.TempDir()
	image := filepath.Join(dir, "image")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	testutil.NoLeaks(t)
	if err := testutil.MountImage(image, "ext4", dir); err == nil {
		t.Error("zeroes were mounted")
	}
	if err := testutil.MountImage(image+"x", "ext4", dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an image that does not exist: %v", err)
	}
	if err := testutil.Unmount(dir); err == nil {
		t.Error("what was not mounted was unmounted")
	}
	if attached(t, dir) != 0 {
		t.Error("a loop device is left")
	}
}

// Taken out of the page cache, a file has no page in memory.
func TestCold(t *testing.T) {
	const pages = 64
	name := filepath.Join(testutil.LoopDisk(t, 4<<20, "ext4"), "file")
	resident := func() int64 {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		m, err := sys.Map(f, sys.MapOptions{Len: pages * sys.PageSize()})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Unmap()
		n, _, err := m.Resident(0, pages*sys.PageSize())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for what, cool := range map[string]func(){
		"Cold":       func() { testutil.Cold(t, name) },
		"DropCaches": func() { testutil.DropCaches(t) },
	} {
		if err := os.WriteFile(name, make([]byte, pages*sys.PageSize()), 0o600); err != nil {
			t.Fatal(err)
		}
		if n := resident(); n != pages {
			t.Errorf("%d of %d pages are resident after writing", n, pages)
		}
		if cool(); resident() != 0 {
			t.Errorf("%d pages are resident after %s", resident(), what)
		}
	}
}
