package systest

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// mountsEnv names, in the environment, the mount namespace that PrivateMounts
// has made.
const mountsEnv = "FMMAP_TEST_MOUNTS"

const (
	errNoSuchType = unix.ENODEV
	errBusy       = unix.EBUSY
)

func privateMounts() error {
	now, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil || os.Getenv(mountsEnv) == now {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// The namespace is the thread's, and exec makes the thread the process. If
	// that fails, the thread ends with its goroutine.
	failed := make(chan error)
	go func() {
		runtime.LockOSThread()
		failed <- restart(self)
	}()
	return <-failed
}

// restart executes the program in a new mount namespace.
func restart(self string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	own, err := os.Readlink("/proc/thread-self/ns/mnt")
	if err != nil {
		return err
	}
	if err := os.Setenv(mountsEnv, own); err != nil {
		return err
	}
	return os.NewSyscallError("execve", syscall.Exec(self, os.Args, os.Environ()))
}

func mount(source, dir, fstype, options string) error {
	if err := unix.Mount(source, dir, fstype, unix.MS_NOATIME, options); err != nil {
		return &os.PathError{Op: "mount " + fstype, Path: dir, Err: err}
	}
	return nil
}

func unmount(dir string, detach bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if detach {
		flags |= unix.MNT_DETACH
	}
	if err := unix.Unmount(dir, flags); err != nil {
		return &os.PathError{Op: "umount", Path: dir, Err: err}
	}
	return nil
}

func attachLoop(image string) (*os.File, error) {
	backing, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, os.NewSyscallError("LOOP_CTL_GET_FREE", err)
		}
		device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		config := unix.LoopConfig{Fd: uint32(backing.Fd())}
		config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		err = unix.IoctlLoopConfigure(int(device.Fd()), &config)
		if err == nil {
			return device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) { // another process was faster
			return nil, os.NewSyscallError("LOOP_CONFIGURE", err)
		}
	}
}

func evict(f *os.File) error {
	return os.NewSyscallError("fadvise", unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
}

func shutDown(f *os.File) error {
	const goingDown, keepLog = 0x8004587d, 1 // XFS_IOC_GOINGDOWN, which ext4 has too; flush the log
	return os.NewSyscallError("ioctl", unix.IoctlSetPointerInt(int(f.Fd()), goingDown, keepLog))
}

func setAppend(f *os.File) error {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETFL, flags|unix.O_APPEND)
	}
	return err
}

func fileSystem(path string) (string, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return "", &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	switch uint32(s.Type) { // of 32 bits, with a sign on some processors
	case unix.TMPFS_MAGIC:
		return "tmpfs", nil
	case unix.RAMFS_MAGIC:
		return "ramfs", nil
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay", nil
	}
	return "other", nil
}

func descriptors() (int, error) {
	var l unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l)
	return int(min(l.Cur, math.MaxInt32)), os.NewSyscallError("getrlimit", err)
}

func addressSpace() (uint64, error) {
	var l unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_AS, &l)
	return l.Cur, os.NewSyscallError("getrlimit", err)
}

func limitAddressSpace(bytes uint64) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_AS, &l); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	l.Cur = min(bytes, l.Max)
	return os.NewSyscallError("setrlimit", unix.Setrlimit(unix.RLIMIT_AS, &l))
}
