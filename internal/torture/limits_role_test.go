package torture

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// The environment of a process that lives within limits.
const (
	limitEnv    = "FMMAP_TORTURE_LIMIT"
	limitDirEnv = "FMMAP_TORTURE_DIR"
)

// A limitTest is what such a process finds.
type limitTest struct {
	dir string
	err error
}

// limited is the process: it sets itself a limit, meets it, and says what it
// counted.
func limited() error {
	t := &limitTest{dir: os.Getenv(limitDirEnv)}
	map[string]func(){
		"descriptors": t.descriptors, "address space": t.addressSpace, "locked memory": t.lockedMemory, "maps": t.maps, "permissions": t.permissions,
	}[os.Getenv(limitEnv)]()
	t.healthy()
	return t.err
}

// is checks that err is one of those wanted; nil is one too.
func (t *limitTest) is(what string, err error, want ...error) bool {
	for _, w := range want {
		if errors.Is(err, w) {
			return true
		}
	}
	t.fail("%s: got %v, want %v", what, err, want)
	return false
}

func (t *limitTest) fail(format string, args ...any) {
	t.err = errors.Join(t.err, fmt.Errorf(format, args...))
}

func (t *limitTest) name(base string) string { return filepath.Join(t.dir, base) }

// limit sets the soft limit of a resource.
func (t *limitTest) limit(resource int, to uint64) {
	var l unix.Rlimit
	t.is("getrlimit", unix.Getrlimit(resource, &l), nil)
	l.Cur = to
	t.is("setrlimit", unix.Setrlimit(resource, &l), nil)
}

// healthy checks that everything can be done that always could.
func (t *limitTest) healthy() {
	name, want := t.name("healthy"), pattern(0, 64*kib, 7)
	f, err := core.Create(name, 64*kib)
	if !t.is("Create, in the end", err, nil) {
		return
	}
	t.is("WriteAt, in the end", second(f.WriteAt(want, 0)), nil)
	t.is("Truncate, in the end", f.Truncate(mib), nil)
	t.is("Flush, in the end", f.Flush(), nil)
	b, err := f.Clone()
	if t.is("Clone, in the end", err, nil) && !bytes.HasPrefix(b, want) {
		t.fail("a new file does not hold what was written to it")
	}
	t.is("Remove, in the end", f.Remove(), nil)
	t.is("Close, in the end", f.Close(), nil)
}

// descriptors uses up all descriptors except a few, so that each step of each
// operation fails once.
func (t *limitTest) descriptors() {
	old := pattern(0, 1000, 3)
	t.is("a file", os.WriteFile(t.name("old"), old, 0o600), nil)
	t.is("a copy", os.WriteFile(t.name("copy"), old, 0o600), nil)
	// Descriptors that the runtime opens when it first needs them are there
	// now.
	f, err := core.Open(t.name("old"))
	t.is("Open", err, nil)
	var spare []*os.File
	t.limit(unix.RLIMIT_NOFILE, 64)
	for {
		s, err := os.Open(os.DevNull)
		if err != nil {
			t.is("the last descriptor", err, unix.EMFILE)
			break
		}
		spare = append(spare, s)
	}
	refused, went := 0, 0
	count := func(what string, err error) bool {
		if err != nil {
			t.is(what, err, unix.EMFILE)
			refused++
			return false
		}
		went++
		return true
	}
	for left := range 8 {
		if left > 0 {
			t.is("closing", spare[left].Close(), nil)
		}
		if g, err := core.Create(t.name("new"), 10); count("Create", err) {
			t.is("Close", g.Close(), nil)
			t.is("removing", os.Remove(t.name("new")), nil)
		} else if _, err := os.Lstat(t.name("new")); !errors.Is(err, fs.ErrNotExist) {
			t.fail("Create with %d descriptors fails and leaves a file", left)
		}
		o := core.Options{Access: core.ReadWrite, Truncate: true, NoLock: true}
		if g, err := core.OpenFile(t.name("copy"), o); count("Open with Truncate", err) {
			t.is("Close", g.Close(), nil)
			t.is("writing", os.WriteFile(t.name("copy"), old, 0o600), nil)
		} else if fi, err := os.Lstat(t.name("copy")); err != nil || fi.Size() != 1000 {
			t.fail("Open with Truncate and %d descriptors fails, and the file is now %v, %v", left, fi, err)
		}
		before := t.listed()
		if !count("CopyTo", f.CopyTo(t.name("copy"), 0, 1000)) && fmt.Sprint(before) != fmt.Sprint(t.listed()) {
			t.fail("CopyTo with %d descriptors leaves something behind", left)
		}
		if !count("Remove", f.Remove()) {
			if fi, err := os.Lstat(t.name("old")); err != nil || fi.Size() != 1000 {
				t.fail("Remove with %d descriptors fails, and has removed the file", left)
			}
		} else {
			t.is("linking", os.Link(t.name("copy"), t.name("old")), nil)
			t.is("closing", f.Close(), nil)
			if f, err = core.Open(t.name("old")); !t.is("Open", err, nil) {
				return
			}
		}
	}
	for _, s := range spare {
		_ = s.Close() // some are
	}
	t.is("Close", f.Close(), nil)
	testutil.Say("%d operations were refused for want of descriptors, %d went well", refused, went)
	if refused == 0 || went == 0 {
		t.fail("%d operations refused and %d not", refused, went)
	}
}

// listed are the names in the limitTest's directory; none, when that cannot be
// read for want of a descriptor.
func (t *limitTest) listed() (names []string) {
	entries, _ := os.ReadDir(t.dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// addressSpace is limited to half a GiB more than there is: no default
// reservation fits.
func (t *limitTest) addressSpace() {
	var pages uint64
	statm, err := os.ReadFile("/proc/self/statm")
	t.is("statm", err, nil)
	_, err = fmt.Sscan(string(statm), &pages)
	t.is("statm", err, nil)
	t.limit(unix.RLIMIT_AS, pages*uint64(os.Getpagesize())+512*mib)

	f, err := core.Create(t.name("grows"), mib)
	if !t.is("Create", err, nil) {
		return
	}
	t.is("growing within the limit", f.Truncate(64*mib), nil)
	t.is("growing past it", f.Truncate(64<<30), unix.ENOMEM, unix.ENOSPC)
	fi, err := os.Stat(t.name("grows"))
	if err != nil || fi.Size() != 64*mib || f.Len() != 64*mib {
		t.fail("after growth that was refused the file has %v (%v), the window %d bytes", fi.Size(), err, f.Len())
	}
	t.is("mapping what is too large", second(core.OpenFile(t.name("huge"), core.Options{Access: core.ReadWrite, Create: true, Sparse: true, Size: 4 << 30})), unix.ENOMEM)
	if _, err := os.Lstat(t.name("huge")); !errors.Is(err, fs.ErrNotExist) {
		t.fail("a file that could not be mapped has been left behind")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the runtime dies when it finds no room itself
	var open []*core.File
	for {
		g, err := core.OpenFile(t.name("grows"), core.Options{NoLock: true})
		if err != nil {
			for _, last := range open[len(open)-2:] {
				_ = last.Close()
			}
			t.is("mapping until nothing is left", err, unix.ENOMEM)
			break
		}
		open = append(open, g)
	}
	for _, g := range append(open[:len(open)-2], f) {
		t.is("Close", g.Close(), nil)
	}
	testutil.Say("%d maps of 64 MiB went into the address space", len(open))
}

// lockedMemory is limited to what a process without privileges may lock.
func (t *limitTest) lockedMemory() {
	t.limit(unix.RLIMIT_MEMLOCK, 64*kib)
	t.is("setuid", syscall.Setuid(unprivileged), nil)
	f, err := core.Create(t.name("locked"), mib)
	if !t.is("Create", err, nil) {
		return
	}
	t.is("locking too much", f.LockMemory(0, mib), unix.ENOMEM, unix.EAGAIN, unix.EPERM)
	t.is("locking little", f.LockMemory(0, 4*kib), nil)
	t.is("storing into it", second(f.WriteAt(pattern(0, mib, 1), 0)), nil)
	t.is("unlocking", f.UnlockMemory(0, 4*kib), nil)
	t.is("Close", f.Close(), nil)
	testutil.Say("a MiB could not be locked, 4 KiB could")
}

// maps are made until the kernel has had enough (vm.max_map_count): of one
// file, each second page of which is locked, so that the kernel counts each
// page as a map of its own.
func (t *limitTest) maps() {
	const page, most = 4 * kib, 100_000
	f, err := core.OpenFile(t.name("mapped"), core.Options{Access: core.ReadWrite, Create: true, Sparse: true, Size: 2 * most * page})
	if !t.is("Create", err, nil) {
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the runtime dies when it finds no map for itself
	locked := int64(0)
	for err == nil && locked < most {
		if err = f.LockMemory(2*locked*page, page); err == nil {
			locked++
		}
	}
	oerr := second(core.OpenFile(t.name("mapped"), core.Options{NoLock: true}))
	growing := f.Truncate(20 << 30)
	t.is("unlocking", f.UnlockMemory(0, f.Len()), nil) // all is one map again
	t.is("one map more", err, unix.ENOMEM, unix.EAGAIN)
	t.is("opening, without a map left", oerr, nil, unix.ENOMEM)
	t.is("growing, without a map left", growing, nil, unix.ENOMEM)
	t.is("storing", second(f.WriteAt(pattern(0, mib, 1), 0)), nil)
	t.is("Remove", f.Remove(), nil)
	t.is("Close", f.Close(), nil)
	testutil.Say("%d maps were there at once", 2*locked)
}

// unprivileged is the user without privileges.
const unprivileged = 65534

// permissions of directories and files keep a user out.
func (t *limitTest) permissions() {
	dirs := map[string]fs.FileMode{"open": 0o777, "no writing": 0o755, "no searching": 0o700, "no reading": 0o733}
	contents := pattern(0, 1000, 9)
	for d, mode := range dirs {
		t.is("mkdir", os.Mkdir(t.name(d), 0o700), nil)
		for file, mode := range map[string]fs.FileMode{"ours": 0o666, "read only": 0o444, "write only": 0o222, "theirs": 0o600} {
			t.is("a file", os.WriteFile(filepath.Join(t.name(d), file), contents, 0o600), nil)
			t.is("chmod", os.Chmod(filepath.Join(t.name(d), file), mode), nil)
		}
		t.is("chmod", os.Chmod(t.name(d), mode), nil)
	}
	t.is("setuid", syscall.Setuid(unprivileged), nil)
	source, err := core.Open(filepath.Join(t.name("open"), "ours"))
	if !t.is("Open", err, nil) {
		return
	}
	tries := 0
	in := func(d, file string) string { tries++; return filepath.Join(t.name(d), file) }
	t.is("Create without writing", second(core.Create(in("no writing", "new"), 10)), fs.ErrPermission)
	t.is("Create without searching", second(core.Create(in("no searching", "new"), 10)), fs.ErrPermission)
	t.is("Open without searching", second(core.Open(in("no searching", "ours"))), fs.ErrPermission)
	t.is("CopyTo without writing", source.CopyTo(in("no writing", "ours"), 0, 10), fs.ErrPermission)
	t.is("CopyTo without searching", source.CopyTo(in("no searching", "ours"), 0, 10), fs.ErrPermission)
	t.is("Open of what may not be read", second(core.Open(in("open", "theirs"))), fs.ErrPermission)
	t.is("Open of what may only be written", second(core.Open(in("open", "write only"))), fs.ErrPermission)
	rw := core.Options{Access: core.ReadWrite, Truncate: true}
	t.is("Open for writing of what may not be", second(core.OpenFile(in("open", "read only"), rw)), fs.ErrPermission)
	t.is("Open for writing of what may not be read", second(core.OpenFile(in("open", "write only"), rw)), fs.ErrPermission)
	if f, err := core.Open(in("no writing", "ours")); t.is("Open without writing", err, nil) {
		t.is("Remove without writing", f.Remove(), fs.ErrPermission)
		t.is("Close", f.Close(), nil)
	}
	// A directory that may be written but not read is enough: what cannot be
	// synced in it is synced with the whole file system.
	if f, err := core.Create(in("no reading", "new"), 10); t.is("Create without reading", err, nil) {
		t.is("Flush without reading", f.Flush(), nil)
		t.is("Remove without reading", f.Remove(), nil)
		t.is("Close", f.Close(), nil)
		t.is("Remove without reading leaves", second(os.Lstat(in("no reading", "new"))), fs.ErrNotExist)
	}
	for d := range dirs {
		if d == "no searching" {
			continue
		}
		if got, err := os.ReadFile(in(d, "ours")); err != nil || !bytes.Equal(got, contents) {
			t.fail("a file that could not be changed has changed (%v)", err)
		}
	}
	t.is("Close", source.Close(), nil)
	testutil.Say("%d things that are not permitted were tried", tries)
}
