package testutil

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func loopDisk(t testing.TB, size int64, fstype string) string {
	t.Helper()
	RequireRoot(t)
	if size < MinSize(fstype) {
		size = MinSize(fstype)
	}
	dir := filepath.Join(t.TempDir(), fstype)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	dismiss, err := UnmountIfKilled(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dismiss)
	if fstype == "tmpfs" {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
			t.Fatal(os.NewSyscallError("mount", err))
		}
	} else {
		RequireTool(t, "mkfs."+fstype)
		RequireFile(t, loopControl)
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
	out, err := exec.Command("mkfs."+fstype, append(flags, path)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mkfs.%s: %w: %s", fstype, err, out)
	}
	return nil
}

// loopControl is the device that knows of free loop devices.
const loopControl = "/dev/loop-control"

// MountImage mounts the file system in the image file at the directory, by a loop device that goes when
// [Unmount] has undone this. For xfs, a second image of the same file system may be mounted at the same time.
func MountImage(image, fstype, dir string) error {
	dev, err := attach(image)
	if err != nil {
		return err
	}
	defer dev.Close() // then the mount alone holds it
	options := ""
	if fstype == "xfs" {
		options = "nouuid"
	}
	if err := unix.Mount(dev.Name(), dir, fstype, unix.MS_NOATIME, options); err != nil {
		return &os.PathError{Op: "mount", Path: image, Err: err}
	}
	return nil
}

// attach opens a loop device on the image, which detaches itself when the last user has closed it [loop(4)].
func attach(image string) (*os.File, error) {
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ctl, err := os.OpenFile(loopControl, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer ctl.Close()
	for {
		n, err := unix.IoctlRetInt(int(ctl.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, os.NewSyscallError("LOOP_CTL_GET_FREE", err)
		}
		dev, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			if errors.Is(err, unix.EBUSY) {
				continue
			}
			return nil, err
		}
		config := unix.LoopConfig{Fd: uint32(f.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		copy(config.Info.File_name[:], filepath.Base(image)) // what losetup(8) shows
		if err = unix.IoctlLoopConfigure(int(dev.Fd()), &config); err == nil {
			return dev, nil
		}
		dev.Close()
		if !errors.Is(err, unix.EBUSY) { // somebody else was faster
			return nil, os.NewSyscallError("LOOP_CONFIGURE", err)
		}
	}
}

// Unmount unmounts the directory, waiting for a moment when it is in use. When it remains so it is detached, to go with
// its last user, and that is an error.
func Unmount(dir string) error {
	var err error
	if poll(leakPatience, func() bool {
		err = unix.Unmount(dir, 0)
		return !errors.Is(err, unix.EBUSY)
	}) {
		return os.NewSyscallError("umount", err)
	}
	_ = unix.Unmount(dir, unix.MNT_DETACH) // the error to report is the first
	return &os.PathError{Op: "umount", Path: dir, Err: err}
}

// UnmountIfKilled starts a process that unmounts the directories, in order, when this process
// has ended in whatever way without calling dismiss.
func UnmountIfKilled(dirs ...string) (dismiss func(), err error) {
	// Reading returns when nobody has the other end of the pipe any more.
	const script = `read -r word; [ "$word" = dismissed ] || for d; do umount "$d" || { sleep 1; umount -l "$d"; }; done 2>/dev/null`
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "unmounter"}, dirs...)...)
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true} // no interrupt from the keyboard reaches it
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

func cold(t testing.TB, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(os.NewSyscallError("fadvise", err))
	}
}

func dropCaches(t testing.TB) {
	t.Helper()
	RequireRoot(t)
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0); err != nil {
		if strings.Contains(err.Error(), "read-only") {
			t.Skipf("the page cache cannot be emptied here: %v", err)
		}
		t.Fatal(err)
	}
}
