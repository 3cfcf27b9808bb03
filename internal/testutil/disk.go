package testutil

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fmmap-go/fmmap/internal/sys/systest"
)

// errNotPrivate is the outcome of [PrivateMounts] where it was not called.
var errNotPrivate = errors.New("TestMain must call testutil.PrivateMounts")

// privateMounts is the outcome of [PrivateMounts].
var privateMounts = errNotPrivate

// PrivateMounts is the first call of a main or TestMain whose program mounts
// disks. Where the program may mount, it is restarted in a mount namespace of
// its own (see [systest.PrivateMounts]): no process that copies its mount
// namespace meanwhile, as a container does when it starts, keeps a disk in use,
// and a program that is killed leaves no mount. Elsewhere it does nothing.
func PrivateMounts() {
	if HasCapability(CapSysAdmin) {
		privateMounts = systest.PrivateMounts()
	}
}

// RequireMounts skips the test where it cannot mount; see [CIEnv].
func RequireMounts(t testing.TB) {
	t.Helper()
	RequireLinux(t, "mount namespaces")
	RequireCapability(t, CapSysAdmin)
	switch err := privateMounts; {
	case errors.Is(err, errNotPrivate):
		t.Fatal(err)
	case err != nil && cannotStart(err):
		t.Skipf("cannot restart this program in a mount namespace of its own: %v", err)
	case err != nil:
		missing(t, fmt.Sprintf("a mount namespace of its own (%v)", err))
	}
}

// LoopDisk mounts a small disk for the test and returns its directory. fstype
// is ext4, xfs, btrfs or tmpfs; all but tmpfs live in an image file on a loop
// device. size is in bytes; a file system that needs more gets its least
// ([MinSize]). The disk is unmounted when the test ends. The test is skipped
// where it cannot be mounted; see [CIEnv]. TestMain must call [PrivateMounts].
func LoopDisk(t testing.TB, size int64, fstype string) (dir string) {
	t.Helper()
	RequireMounts(t)
	dir = filepath.Join(t.TempDir(), fstype)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	size = max(size, MinSize(fstype))
	var err error
	if fstype == "tmpfs" {
		err = systest.Mount("tmpfs", dir, "tmpfs", fmt.Sprintf("size=%d", size))
	} else {
		RequireTool(t, "mkfs."+fstype)
		RequireLoop(t)
		image := filepath.Join(t.TempDir(), "image")
		if err := MakeImage(image, fstype, size); err != nil {
			t.Fatal(err)
		}
		err = MountImage(image, fstype, dir)
	}
	if errors.Is(err, systest.ErrNoSuchType) {
		missing(t, "a kernel that knows "+fstype)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Unmount(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// RequireLoop skips the test where no image can be attached to a loop device;
// see [CIEnv].
func RequireLoop(t testing.TB) {
	t.Helper()
	RequireLinux(t, "loop devices")
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	device, err := systest.AttachLoop(image)
	if err != nil {
		missing(t, fmt.Sprintf("a loop device (%v)", err))
		return
	}
	device.Close()
}

// MinSize returns the size of the smallest disk that mkfs makes a file system
// on.
func MinSize(fstype string) int64 {
	switch fstype {
	case "xfs":
		return 300 << 20
	case "btrfs":
		return 114 << 20
	case "ext4":
		return 2 << 20
	}
	return 0
}

// MakeImage makes a sparse file of the given size at path with a new file
// system in it.
func MakeImage(path, fstype string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return err
	}
	flags := map[string][]string{
		// Everything is written now rather than by a thread of the kernel after
		// the first mount.
		"ext4":  {"-q", "-F", "-b", "4096", "-m", "0", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"},
		"xfs":   {"-q", "-f", "-K"},
		"btrfs": {"-q", "-f", "-K"},
	}[fstype]
	mkfs := exec.Command("mkfs."+fstype, append(flags, path)...)
	if out, err := mkfs.CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.%s: %w: %s", fstype, err, bytes.TrimSpace(out))
	}
	return nil
}

// MountImage mounts the file system in the image file at the directory, by a
// loop device that is detached when [Unmount] has undone this. Several images
// of one xfs file system may be mounted at the same time.
func MountImage(image, fstype, dir string) error {
	device, err := systest.AttachLoop(image)
	if err != nil {
		return err
	}
	defer device.Close()
	options := ""
	if fstype == "xfs" {
		options = "nouuid"
	}
	return systest.Mount(device.Name(), dir, fstype, options)
}

// Unmount unmounts the directory, waiting for a moment when it is in use. When
// it remains so it is detached, to go with its last user, and that is an error.
func Unmount(dir string) error {
	var err error
	if poll(leakPatience, func() bool {
		err = systest.Unmount(dir, false)
		return !errors.Is(err, systest.ErrBusy)
	}) {
		return err
	}
	return errors.Join(err, systest.Unmount(dir, true))
}

// ShutDown ends the file system that is mounted at dir, of xfs or ext4, as an error
// of its log does: from then on it neither reads nor writes, and is there only to
// be unmounted. See [LoopDisk].
func ShutDown(t testing.TB, dir string) {
	t.Helper()
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := systest.ShutDown(d); err != nil {
		t.Fatal(err)
	}
}

// Cold takes the file at path out of the page cache, so that what is read next
// comes from the disk. Its dirty pages are written first; pages that are mapped
// stay. It skips the test where there is no such call, and where the file is in
// memory alone.
func Cold(t testing.TB, path string) {
	t.Helper()
	RequireLinux(t, "way to take a file out of the page cache")
	RequireFileSystem(t, path, "tmpfs", "ramfs")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := systest.Evict(f); err != nil {
		t.Fatal(err)
	}
}
