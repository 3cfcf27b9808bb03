package testutil_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// mounted reports whether a file system is mounted at dir or below, as the
// process sees it.
func mounted(t *testing.T, pid, dir string) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/" + pid + "/mounts")
	if err != nil {
		t.Fatal(err)
	}
	// Spaces are escaped [proc_pid_mounts(5)].
	return strings.Contains(string(b), " "+strings.ReplaceAll(dir, " ", `\040`))
}

// attached returns how many loop devices have an image below dir.
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
			dir := "" // of the inner test, unless it is skipped
			t.Run("disk", func(t *testing.T) {
				testutil.NoLeaks(t)
				dir = testutil.LoopDisk(t, 16<<20, fstype)
				if !mounted(t, "self", dir) {
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
				err = sys.Allocate(f, 0, 512<<20)
				if err == nil || errors.Is(err, errors.ErrUnsupported) {
					t.Errorf("512 MiB fit, or the call is missing: %v", err)
				}
			})
			if dir == "" {
				return
			}
			if mounted(t, "self", dir) {
				t.Error("the disk is left")
			}
			testutil.WaitUntil(t, "the loop device is free", func() bool {
				return attached(t, filepath.Dir(filepath.Dir(dir))) == 0
			})
		})
	}
}

// A disk is mounted, and unmounted, whatever its path is.
func TestLoopDiskAtAnyPath(t *testing.T) {
	testutil.RequireMounts(t)
	for _, name := range []string{"with a space", "für\tÜmläute", "line\nbreak", `back\040slash`} {
		t.Run(name, func(t *testing.T) {
			tmp := filepath.Join(t.TempDir(), name)
			if err := os.Mkdir(tmp, 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("TMPDIR", tmp)
			t.Run("disk", func(t *testing.T) {
				dir := testutil.LoopDisk(t, 4<<20, "ext4")
				if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			})
			if left, err := filepath.Glob(filepath.Join(tmp, "*")); len(left) > 0 || err != nil {
				t.Errorf("left behind: %q, %v", left, err)
			}
		})
	}
}

// mountAndWait mounts a disk in a mount namespace of its own, and waits to be
// killed.
func mountAndWait() error {
	dir := os.Getenv("MOUNT_TEST")
	if err := testutil.MountImage(dir+".image", "ext4", dir); err != nil {
		return err
	}
	testutil.Say("mounted")
	testutil.Hear()
	return errors.New("it was not killed")
}

func TestDiskOfAKilledProcessIsUnmounted(t *testing.T) {
	testutil.RequireMounts(t)
	testutil.RequireTool(t, "mkfs.ext4")
	testutil.RequireLoop(t)
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := testutil.MakeImage(dir+".image", "ext4", 4<<20); err != nil {
		t.Fatal(err)
	}
	// Without this the second process would stay in the namespace of the first.
	p := testutil.Reexec(t, "mount", "MOUNT_TEST="+dir, "FMMAP_TEST_MOUNTS=")
	if p.Hear(); attached(t, dir) != 1 {
		t.Fatal("no disk is attached")
	}
	if mounted(t, "self", dir) || !mounted(t, strconv.Itoa(p.Pid()), dir) {
		t.Fatal("the disk is mounted, but not in the process's own namespace alone")
	}
	p.Kill()
	testutil.WaitUntil(t, "it is unmounted", func() bool { return attached(t, dir) == 0 })
}

// A container that starts copies the mounts that it sees. It must not keep a
// disk of a test in use.
func TestDisksAreSeenByNoOtherNamespace(t *testing.T) {
	dir := testutil.LoopDisk(t, 16<<20, "tmpfs")
	if !mounted(t, "self", dir) {
		t.Fatal("nothing is mounted")
	}
	if mounted(t, strconv.Itoa(os.Getppid()), dir) {
		t.Error("the disk is mounted in the namespace of the process that started the tests, too")
	}
}

func TestMountFails(t *testing.T) {
	testutil.RequireMounts(t)
	testutil.RequireLoop(t)
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
	testutil.WaitUntil(t, "no loop device is left", func() bool { return attached(t, dir) == 0 })
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
	if err := os.WriteFile(name, make([]byte, pages*sys.PageSize()), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := resident(); n != pages {
		t.Errorf("%d of %d pages are resident after writing", n, pages)
	}
	testutil.Cold(t, name)
	if n := resident(); n != 0 {
		t.Errorf("%d pages are resident after Cold", n)
	}
}
