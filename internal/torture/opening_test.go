package torture

import (
	"bytes"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// openingDirEnv is the directory of a process that opens files.
const openingDirEnv = "FMMAP_TORTURE_DIR"

// A file that cannot be mapped is errors.ErrUnsupported, however it is opened,
// and never an empty file.
func TestFilesThatCannotBeMapped(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir) // the address of a socket must be short
	check(t, unix.Mkfifo("fifo", 0o600))
	fd := must[int](t)(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0))
	defer unix.Close(fd)
	check(t, unix.Bind(fd, &unix.SockaddrUnix{Name: "socket"}))
	for _, name := range []string{"/proc/cpuinfo", "/proc/self/status", "/proc/self/maps", "/sys/kernel/uevent_seqnum", "fifo", "socket", dir, "/dev/null", "/dev/zero"} {
		if _, err := os.Lstat(name); err != nil {
			t.Logf("no %s here", name)
			continue
		}
		for _, access := range []core.Access{core.ReadOnly, core.ReadWrite, core.CopyOnWrite} {
			err := second(core.OpenFile(name, core.Options{Access: access, NoLock: true}))
			if !errors.Is(err, errors.ErrUnsupported) && !(errors.Is(err, iofs.ErrPermission) && access == core.ReadWrite) {
				t.Errorf("%s, %v: %v, want ErrUnsupported", name, access, err)
			}
		}
	}
	check(t, os.WriteFile("empty", nil, 0o600))
	f := must[*core.File](t)(core.Open("empty"))
	if f.Len() != 0 {
		t.Errorf("an empty file has %d bytes", f.Len())
	}
	check(t, f.Close())
	check(t, os.Symlink("fifo", "link"))
	for _, name := range []string{"fifo", "socket", "link"} {
		if err := core.NewMemory("m", []byte("hello, world")).CopyTo(name, 0, 12); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("CopyTo %s: %v, want ErrUnsupported", name, err)
		}
	}
	check(t, os.Remove("link"))
	if unix.Mknod("null", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))) == nil {
		if err := core.NewMemory("m", []byte("hello, world")).CopyTo("null", 0, 12); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("CopyTo a device: %v, want ErrUnsupported", err)
		}
		if fi := must[os.FileInfo](t)(os.Lstat("null")); fi.Mode()&os.ModeCharDevice == 0 {
			t.Errorf("the device is now %v", fi.Mode())
		}
	}
}

// Opening waits for a lease that another open file has, as os.OpenFile does.
func TestOpeningBreaksALease(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(name, []byte("leased"), 0o600))
	holder := must[*os.File](t)(os.OpenFile(name, os.O_RDWR, 0))
	defer holder.Close()
	lease := func(to int) (int, error) {
		if to < 0 {
			return unix.FcntlInt(holder.Fd(), unix.F_GETLEASE, 0)
		}
		return unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, to)
	}
	if _, err := lease(unix.F_WRLCK); err != nil {
		t.Skipf("no leases on this file system: %v", err)
	}
	done := make(chan error, 1)
	go func() { // ends with the lease
		for {
			switch now, err := lease(-1); {
			case err != nil:
				done <- err
				return
			case now != unix.F_WRLCK: // it is being broken
				done <- second(lease(unix.F_UNLCK))
				return
			}
		}
	}()
	f := must[*core.File](t)(core.OpenFile(name, core.Options{Access: core.ReadWrite}))
	check(t, <-done)
	check(t, f.Close())
}

// Where mlockall(MCL_FUTURE) is on, as programs with secrets have it, what is
// reserved is neither in memory nor counted; what is used is locked.
func TestReservationsUnderMlockall(t *testing.T) {
	testutil.RequireCapability(t, testutil.CapIPCLock)
	said, err := testutil.Reexec(t, "locked ahead", openingDirEnv+"="+t.TempDir()).Wait()
	if err != nil {
		t.Error(err)
	}
	if said != "" {
		t.Log(said)
	}
}

// lockedAhead is the process that has locked its memory.
func lockedAhead() error {
	name := filepath.Join(os.Getenv(openingDirEnv), "file")
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE); err != nil {
		return err
	}
	var wrong error
	for what, open := range map[string]func() (*core.File, error){
		"anonymous memory": func() (*core.File, error) { return core.NewAnonymous(4096, core.Options{}) },
		"a created file":   func() (*core.File, error) { return core.Create(name, 4096) },
		"a private file": func() (*core.File, error) {
			return core.OpenFile(name, core.Options{Access: core.CopyOnWrite})
		},
	} {
		if err := os.WriteFile(name, make([]byte, 4096), 0o600); err != nil {
			return err
		}
		resident, locked := memoryOfProcess()
		f, err := open()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		r, l := memoryOfProcess()
		if r-resident > 64*mib || l-locked > 64*mib {
			wrong = errors.Join(wrong, fmt.Errorf("%s of 4096 bytes: %d bytes more in memory, %d more locked", what, r-resident, l-locked))
		}
		if f.Access() == core.ReadWrite {
			_, locked = memoryOfProcess()
			if err := f.Truncate(100 * mib); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			if _, err := f.WriteAt([]byte("secret"), 99*mib); err != nil {
				return err
			}
			if _, l := memoryOfProcess(); l-locked < 99*mib {
				wrong = errors.Join(wrong, fmt.Errorf("%s has grown by 100 MiB, of which %d bytes are locked", what, l-locked))
			}
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return wrong
}

// memoryOfProcess returns the bytes of this process in memory and those locked.
func memoryOfProcess() (resident, locked int64) {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			resident = n * kib
		case "VmLck:":
			locked = n * kib
		}
	}
	return resident, locked
}

// A directory that may be written and searched but not listed is enough, and
// what is created there is durable after a flush.
func TestUnlistableDirectory(t *testing.T) {
	dir := t.TempDir()
	check(t, os.Chmod(dir, 0o711))
	check(t, os.Chmod(filepath.Dir(dir), 0o711))
	inner := filepath.Join(dir, "inner")
	check(t, os.Mkdir(inner, 0o700))
	if os.Geteuid() == 0 {
		check(t, os.Chown(inner, 65534, 65534))
	}
	check(t, os.Chmod(inner, 0o300))
	if _, err := testutil.Reexec(t, "unlistable", openingDirEnv+"="+inner).Wait(); err != nil {
		t.Error(err)
	}
	check(t, os.Chmod(inner, 0o700))
	if entries := must[[]os.DirEntry](t)(os.ReadDir(inner)); len(entries) != 0 {
		t.Errorf("%d files are left, %v the first", len(entries), entries[0])
	}
}

// unlistable is an ordinary user's process.
func unlistable() error {
	dir := os.Getenv(openingDirEnv)
	if os.Geteuid() == 0 {
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	if _, err := os.ReadDir(dir); !errors.Is(err, iofs.ErrPermission) {
		return fmt.Errorf("the directory can be listed: %w", err)
	}
	for _, removes := range []bool{false, true} {
		name := filepath.Join(dir, "file")
		f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true, Size: 10_000, RemoveOnClose: removes})
		if err != nil {
			return err
		}
		if err := errors.Join(second(f.WriteAt([]byte("x"), 0)), f.Flush(), f.CopyTo(name+".copy", 0, 100), os.Remove(name+".copy")); err != nil {
			return err
		}
		if !removes {
			if err := f.Remove(); err != nil {
				return err
			}
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	err := second(core.OpenFile(filepath.Join(dir, "vain"), core.Options{Access: core.ReadWrite, Create: true, Offset: 10, Length: 10}))
	if !errors.Is(err, core.ErrRange) {
		return err
	}
	return nil
}

// Where the process may have one more descriptor, a file can be created, opened,
// flushed and closed: what os.Create can do with it.
func TestOneDescriptorIsEnough(t *testing.T) {
	if _, err := testutil.Reexec(t, "one descriptor", openingDirEnv+"="+t.TempDir()).Wait(); err != nil {
		t.Error(err)
	}
}

// oneDescriptor is the process that has no more.
func oneDescriptor() error {
	name := filepath.Join(os.Getenv(openingDirEnv), "file")
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = min(limit.Cur, 64)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	var taken []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, unix.EMFILE) {
			break
		} else if err != nil {
			return err
		}
		taken = append(taken, f)
	}
	taken[0].Close()
	for _, o := range []core.Options{{Create: true}, {}, {RemoveOnClose: true}, {Create: true, Exclusive: true, RemoveOnClose: true}} {
		o.Access, o.Size = core.ReadWrite, 10_000
		f, err := core.OpenFile(name, o)
		if err != nil {
			return fmt.Errorf("%+v: %w", o, err)
		}
		if err := errors.Join(second(f.WriteAt([]byte("x"), 0)), f.Truncate(20_000), f.Flush()); err != nil {
			return fmt.Errorf("%+v: %w", o, err)
		}
		taken[1].Close() // to look the name up again
		err = f.Close()
		if taken[1], _ = os.Open(os.DevNull); err != nil {
			return fmt.Errorf("%+v: closing: %w", o, err)
		}
		if _, err := os.Lstat(name); errors.Is(err, iofs.ErrNotExist) != o.RemoveOnClose {
			return fmt.Errorf("%+v: afterwards: %w", o, err)
		}
	}
	return nil
}

// On hugetlbfs a page has the size of that file system.
func TestHugePagesOfAFileSystem(t *testing.T) {
	testutil.RequireMounts(t)
	const knob = "/proc/sys/vm/nr_hugepages"
	before, err := os.ReadFile(knob)
	if err != nil {
		t.Skipf("no huge pages: %v", err)
	}
	if n, _ := strconv.Atoi(string(bytes.TrimSpace(before))); n < 16 {
		if err := os.WriteFile(knob, []byte("16"), 0); err != nil {
			t.Skipf("no huge pages: %v", err)
		}
		defer func() { check(t, os.WriteFile(knob, before, 0)) }()
	}
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "hugetlbfs", 0, ""); err != nil {
		t.Skipf("no hugetlbfs: %v", err)
	}
	defer func() { check(t, testutil.Unmount(dir)) }()
	var st unix.Statfs_t
	check(t, unix.Statfs(dir, &st))
	page := int64(st.Bsize)
	if st.Bfree < 8 && !strings.HasPrefix(string(must[[]byte](t)(os.ReadFile(knob))), "16") {
		t.Skip("the system has no 16 huge pages to spare")
	}
	name := filepath.Join(dir, "file")
	f := must[*core.File](t)(core.Create(name, 2*page))
	check(t, second(f.WriteAt([]byte("huge"), page-2)))
	check(t, f.Flush())
	check(t, f.FlushRange(page+5, 10))
	check(t, f.Advise(core.AdviceRandom, 0, f.Len()))
	check(t, f.Populate(100, 200))
	check(t, f.LockMemory(100, 200))
	check(t, f.UnlockMemory(100, 200))
	p := must[*core.Pin](t)(f.Pin(0, 10))
	check(t, f.Truncate(4*page))
	check(t, second(f.WriteAt([]byte("more"), 4*page-4)))
	p.Release()
	check(t, f.Truncate(3*page))
	check(t, f.Freeze())
	check(t, f.Close())
	for _, o := range []core.Options{{}, {Access: core.CopyOnWrite}, {Offset: page - 2}, {Offset: page - 2, Length: 4}, {Access: core.ReadWrite, Offset: page + 5, Length: 100}} {
		f, err := core.OpenFile(name, o)
		if err != nil {
			t.Errorf("%+v: %v", o, err)
			continue
		}
		if o.Offset < page {
			var b [4]byte
			if _, err := f.ReadAt(b[:], page-2-o.Offset); err != nil || string(b[:]) != "huge" {
				t.Errorf("%+v: read %q, %v", o, b, err)
			}
		}
		if err := f.Close(); err != nil {
			t.Errorf("%+v: closing: %v", o, err)
		}
	}
}
