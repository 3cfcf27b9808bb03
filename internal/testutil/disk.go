package testutil

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Disks are made and mounted by the commands that a person would use, so that this package needs no system call of its
// own.

// LoopDisk mounts a small disk of its own for the test and returns its directory. fstype is ext4, xfs, btrfs or tmpfs;
// all but tmpfs live in an image file on a loop device. size is in bytes; where the file system wants more
// than that, it gets its least ([MinSize]). The disk is unmounted when the test ends, and by a
// watching process when this one dies. Needs Linux, root, and the file system's mkfs.
func LoopDisk(t testing.TB, size int64, fstype string) (dir string) {
	t.Helper()
	RequireLinux(t, "loop devices")
	RequireRoot(t)
	RequireTool(t, "mount")
	size = max(size, MinSize(fstype))
	dir = filepath.Join(t.TempDir(), fstype)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	dismiss, err := UnmountIfKilled(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dismiss)
	if fstype == "tmpfs" {
		if err := run("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", size), "tmpfs", dir); err != nil {
			t.Fatal(err)
		}
	} else {
		RequireTool(t, "mkfs."+fstype)
		RequireFile(t, "/dev/loop-control")
		image := filepath.Join(t.TempDir(), "image")
		if err := MakeImage(image, fstype, size); err != nil {
			t.Fatal(err)
		}
		if err := MountImage(image, fstype, dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := Unmount(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// run is a command's error, with what it has to say.
func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}

// MinSize is the smallest disk that mkfs makes a file system on.
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

// MakeImage makes a sparse file of the given size at path with a new file system in it.
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
		// Everything is written now rather than by a thread of the kernel after the first mount.
		"ext4":  {"-q", "-F", "-b", "4096", "-m", "0", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"},
		"xfs":   {"-q", "-f", "-K"},
		"btrfs": {"-q", "-f", "-K"},
	}[fstype]
	return run("mkfs."+fstype, append(flags, path)...)
}

// MountImage mounts the file system in the image file at the directory, by a loop device that goes when
// [Unmount] has undone this. For xfs, a second image of the same file system may be mounted at the same time.
func MountImage(image, fstype, dir string) error {
	if _, err := os.Stat(image); err != nil {
		return err
	}
	options := "loop,noatime"
	if fstype == "xfs" {
		options += ",nouuid"
	}
	return run("mount", "-t", fstype, "-o", options, image, dir)
}

// Unmount unmounts the directory, waiting for a moment when it is in use. When it remains so it is detached, to go with
// its last user, and that is an error.
func Unmount(dir string) error {
	var err error
	if poll(leakPatience, func() bool {
		err = run("umount", dir)
		return err == nil || !strings.Contains(err.Error(), "busy")
	}) {
		return err
	}
	_ = run("umount", "-l", dir) // the error to report is the first
	return err
}

// UnmountIfKilled starts a process that unmounts the directories, in order, when this process
// has ended in whatever way without calling dismiss.
func UnmountIfKilled(dirs ...string) (dismiss func(), err error) {
	// Reading returns when nobody has the other end of the pipe any more.
	const script = `read -r word; [ "$word" = dismissed ] || for d; do umount "$d" || { sleep 1; umount -l "$d"; }; done 2>/dev/null`
	// In a session of its own, no interrupt from the keyboard reaches it.
	cmd := exec.Command("setsid", append([]string{"/bin/sh", "-c", script, "unmounter"}, dirs...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_, _ = in.Write([]byte("dismissed\n")) // it was killed? then there is nobody to tell
		in.Close()
		_ = cmd.Wait()
	}, nil
}

// Cold takes the file at path out of the page cache, so that what is read next comes from the disk. Its dirty
// pages are written first; pages that are mapped stay. It skips the test where there is no such call.
func Cold(t testing.TB, path string) {
	t.Helper()
	RequireLinux(t, "way to take a file out of the page cache")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	// Reading nothing without the cache is how dd(1) is told to drop what is cached. Only this process may know the
	// path by which it has opened the file.
	dd := exec.Command("dd", "of="+os.DevNull, "iflag=nocache", "count=0", "status=none")
	dd.Stdin = f
	if out, err := dd.CombinedOutput(); err != nil {
		t.Fatalf("dd: %v: %s", err, out)
	}
}

// DropCaches takes everything clean out of the page cache of the whole system, after a sync. Needs Linux and
// root.
func DropCaches(t testing.TB) {
	t.Helper()
	RequireLinux(t, "way to empty the page cache")
	RequireRoot(t)
	if err := run("sync"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0); err != nil {
		if strings.Contains(err.Error(), "read-only") {
			t.Skipf("the page cache cannot be emptied here: %v", err)
		}
		t.Fatal(err)
	}
}
