package core_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

// The error of options that contradict each other names the option and the
// reason.
func TestContradictingOptionsAreNamed(t *testing.T) {
	needsFiles(t)
	name := tempFile(t, pattern(1000, 1))
	for _, c := range []struct {
		o    core.Options
		says []string
	}{
		{core.Options{Size: 10}, []string{"Size", "ReadWrite", "read-only"}},
		{core.Options{Access: core.CopyOnWrite, Truncate: true}, []string{"Truncate", "ReadWrite", "copy-on-write"}},
		{core.Options{Create: true}, []string{"Create", "ReadWrite"}},
		{core.Options{Exclusive: true}, []string{"Exclusive", "Create"}},
		{core.Options{Stack: true}, []string{"Stack", "NewAnonymous"}},
		{core.Options{Offset: 900, Length: 200}, []string{"Offset 900", "Length 200", "1000 bytes"}},
	} {
		f, err := core.OpenFile(name, c.o)
		if err == nil {
			f.Close()
			t.Errorf("%+v was opened", c.o)
			continue
		}
		for _, word := range c.says {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%+v: %q does not say %q", c.o, err, word)
			}
		}
	}
	if _, err := core.NewAnonymous(1, core.Options{Length: 1}); err == nil || !strings.Contains(err.Error(), "Length") {
		t.Errorf("anonymous memory with a length: %v", err)
	}
}

// A file that is locked says how it is opened all the same, and when the lock is
// that of this very process.
func TestLockedErrorNamesTheWayOut(t *testing.T) {
	name := tempFile(t, []byte("x"))
	opened(t, name, core.Options{Access: core.ReadWrite})
	_, err := core.Open(name)
	if !errors.Is(err, lock.ErrLocked) || !errors.Is(err, lock.ErrLockedHere) || !strings.Contains(err.Error(), "NoLock") {
		t.Errorf("got %v", err)
	}
}

func TestFileAsText(t *testing.T) {
	name := tempFile(t, pattern(4096, 1))
	f := opened(t, name, core.Options{Access: core.ReadWrite})
	if got, want := fmt.Sprintf("%v", f), name+" (read-write, 4096 bytes)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	check(t, f.Close())
	if got, want := fmt.Sprint(f), name+" (read-write, closed)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A directory that cannot be opened costs nothing but its own descriptor: the
// process has none left, or may not list it.
func TestWhereTheDirectoryCannotBeOpened(t *testing.T) {
	for _, cause := range []error{syscall.EMFILE, syscall.EACCES} {
		for _, removes := range []bool{false, true} {
			needsFiles(t)
			name := filepath.Join(t.TempDir(), "file")
			failing(t, "opendir", 0, cause)
			f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true, Size: 100, RemoveOnClose: removes})
			check(t, err)
			_, err = f.WriteAt([]byte("stored"), 0)
			check(t, err)
			if err := f.Flush(); err != nil && (runtime.GOOS == "linux" || !strings.Contains(err.Error(), filepath.Dir(name))) {
				t.Errorf("Flush with %v neither syncs the file system nor names the directory: %v", cause, err)
			}
			if err := f.Remove(); !errors.Is(err, cause) || !strings.Contains(err.Error(), "directory") {
				t.Errorf("Remove with %v: %v", cause, err)
			}
			failing(t, "", 0, nil)
			check(t, f.Close())
			if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) != removes {
				t.Errorf("afterwards, RemoveOnClose being %t: %v", removes, err)
			}
			// A failed opening takes its file back all the same.
			failing(t, "opendir", 0, cause)
			other := name + "2"
			if _, err := core.OpenFile(other, core.Options{Access: core.ReadWrite, Create: true, Offset: 10, Length: 10}); !errors.Is(err, core.ErrRange) {
				t.Errorf("impossible options: %v", err)
			}
			failing(t, "", 0, nil)
			if _, err := os.Lstat(other); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a failed opening left its file: %v", err)
			}
		}
	}
}

// Whatever form of a name package os accepts opens, is synced and is removed.
func TestFormsOfNames(t *testing.T) {
	needsFiles(t)
	top := t.TempDir()
	t.Chdir(top)
	check(t, os.MkdirAll(filepath.Join("a", "b"), 0o700))
	check(t, os.Mkdir("far", 0o700))
	check(t, os.Mkdir(filepath.Join("far", "in"), 0o700))
	names := []string{
		"plain", "./plain", "a/../plain", "a//b///file", "./a/./b/../b/file", "a/b/../file", filepath.Join(top, "a", "..", "plain"),
		strings.Repeat("n", 200), strings.Repeat("./", 400) + "deep", "..plain", "...", "a/..b",
	}
	if runtime.GOOS != "windows" {
		symlink(t, filepath.Join("far", "in"), "link")
		names = append(names, "link/../file", "link/file", "new\nline", "tab\tand \"quotes\"", "back\\slash", " ", "-", "\xff\xfe")
	}
	for _, name := range names {
		o := core.Options{Access: core.ReadWrite, Create: true, Exclusive: true, Size: 10}
		f, err := core.OpenFile(name, o)
		if err != nil {
			if w, oserr := os.Create(name); oserr == nil {
				w.Close()
				t.Errorf("%q: %v", name, err)
			}
			continue
		}
		fi, err := os.Stat(name)
		check(t, err)
		check(t, f.Flush())
		check(t, f.CopyTo(name+".copy", 0, 10))
		if _, err := os.Stat(name + ".copy"); err != nil {
			t.Errorf("the copy of %q: %v", name, err)
		}
		if !os.SameFile(fi, stat(t, f)) {
			t.Errorf("%q is another file", name)
		}
		check(t, core.SyncParent(name))
		if err := f.Remove(); err != nil {
			t.Errorf("removing %q: %v", name, err)
		}
		check(t, f.Close())
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q is still there: %v", name, err)
		}
		// Where the window is impossible, the file is taken back.
		o.Offset, o.Length = 100, 100
		if _, err := core.OpenFile(name, o); !errors.Is(err, core.ErrRange) {
			t.Errorf("%q with an impossible window: %v", name, err)
		}
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q was left by a failed opening: %v", name, err)
		}
	}
	for _, name := range []string{"a/", "a/b/", "absent/", ".", "..", "a/.", "a/..", "", "a/b/absent/file"} {
		if f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true}); err == nil {
			f.Close()
			t.Errorf("%q was opened", name)
		}
	}
	check(t, core.SyncParent("a/b/"))
}

func stat(t *testing.T, f *core.File) fs.FileInfo {
	t.Helper()
	fi, err := f.Stat()
	check(t, err)
	return fi
}

// A relative name means what it meant when the file was opened.
func TestRemoveAfterChdir(t *testing.T) {
	needsFiles(t)
	for _, removes := range []bool{false, true} {
		for _, flush := range []bool{false, true} {
			top := t.TempDir()
			elsewhere := t.TempDir()
			t.Chdir(top)
			check(t, os.Mkdir("d", 0o700))
			f, err := core.OpenFile("d/rel", core.Options{Access: core.ReadWrite, Create: true, Size: 10, RemoveOnClose: removes})
			check(t, err)
			if flush {
				check(t, f.Flush())
			}
			t.Chdir(elsewhere)
			check(t, os.Mkdir("d", 0o700))
			check(t, os.WriteFile("d/rel", []byte("foreign"), 0o600))
			if !removes {
				check(t, f.Remove())
			}
			check(t, f.Close())
			if _, err := os.Lstat(filepath.Join(top, "d", "rel")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("RemoveOnClose %t, flushed %t: the file is still there: %v", removes, flush, err)
			}
			if got, err := os.ReadFile("d/rel"); err != nil || string(got) != "foreign" {
				t.Errorf("the file of that name elsewhere has %q, %v", got, err)
			}
			t.Chdir(top)
		}
	}
}

// CopyTo replaces regular files and links to them. Anything else stays.
func TestCopyToRefusesWhatIsNoRegularFile(t *testing.T) {
	needsFiles(t)
	f := core.NewMemory("memory", []byte("hello, world"))
	dir := t.TempDir()
	t.Chdir(dir) // the address of a socket must be short
	refused := []string{"directory"}
	check(t, os.Mkdir("directory", 0o700))
	if l, err := net.Listen("unix", "socket"); err == nil {
		defer l.Close()
		refused = append(refused, "socket")
	}
	if runtime.GOOS != "windows" {
		symlink(t, os.DevNull, "null")
		symlink(t, "directory", "to-directory")
		refused = append(refused, "null", "to-directory")
		check(t, os.WriteFile("regular", []byte("old"), 0o600))
		symlink(t, "regular", "to-regular")
		symlink(t, "nothing", "to-nothing")
		for _, name := range []string{"to-regular", "to-nothing"} {
			check(t, f.CopyTo(name, 0, 12))
			if fi, err := os.Lstat(name); err != nil || !fi.Mode().IsRegular() {
				t.Errorf("%s was not replaced: %v", name, err)
			}
		}
	}
	for _, name := range refused {
		before, err := os.Lstat(name)
		check(t, err)
		if err := f.CopyTo(name, 0, 12); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v, want ErrUnsupported", name, err)
		}
		if now, err := os.Lstat(name); err != nil || now.Mode() != before.Mode() {
			t.Errorf("%s is now %v, %v", name, now.Mode(), err)
		}
	}
	for _, name := range entries(t, dir) {
		if strings.HasPrefix(name, ".fmmap-") {
			t.Errorf("%s was left behind", name)
		}
	}
}

// What takes the name while the copy is made stays too, and nothing is copied
// where the name is refused from the start.
func TestCopyToChecksTheNameFirstAndLast(t *testing.T) {
	needsFiles(t)
	if runtime.GOOS == "windows" {
		t.Skip("needs a device with a name in the file system")
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "copy")
	f := core.NewMemory("memory", []byte("hello, world"))
	during(t, sys.OpFsync, func() { symlink(t, os.DevNull, name) })
	for _, when := range []string{"during the copy", "before it"} {
		fsyncs := func() int { return 0 }
		if when == "before it" {
			fsyncs = failing(t, sys.OpFsync, 0, nil)
		}
		if err := f.CopyTo(name, 0, 12); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("a link to a device that came %s: %v, want ErrUnsupported", when, err)
		}
		if fsyncs() != 0 {
			t.Error("a copy was made for a name that was refused from the start")
		}
		if got := entries(t, dir); len(got) != 1 || got[0] != "copy" {
			t.Errorf("the directory has %v, want only the link", got)
		}
		if to, err := os.Readlink(name); err != nil || to != os.DevNull {
			t.Errorf("the link leads to %q, %v", to, err)
		}
	}
}

// A directory cannot be mapped, with whatever access it is opened.
func TestOpenOfADirectoryIsUnsupported(t *testing.T) {
	needsFiles(t)
	dir := t.TempDir()
	for _, o := range []core.Options{{}, {Access: core.ReadWrite}, {Access: core.CopyOnWrite}, {Access: core.ReadWrite, Create: true}} {
		if _, err := core.OpenFile(dir, o); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v: %v, want ErrUnsupported", o.Access, err)
		}
	}
}

// A file of procfs has no length and no mapping. It is no empty file, also where
// no address space is reserved and so nothing is mapped for an empty window.
func TestFileWithoutAMappingIsNoEmptyFile(t *testing.T) {
	const name = "/proc/cpuinfo"
	if _, err := os.Stat(name); err != nil || runtime.GOOS != "linux" {
		t.Skipf("needs %s", name)
	}
	if f, err := core.Open(name); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v, %v, want ErrUnsupported", f, err)
	}
}

// Private memory is charged when it is stored to, not when it is mapped.
func TestCopyOnWriteOfMoreThanTheMemory(t *testing.T) {
	if !sys.CanReserve {
		t.Skip("this platform reserves no address space")
	}
	const size = 200 << 30
	testutil.RequireAddressSpace(t, 2*size)
	name := tempFile(t, nil)
	if err := os.Truncate(name, size); err != nil {
		t.Skipf("no file of that length here: %v", err)
	}
	for _, n := range []int64{0, size, size - 1} {
		f := opened(t, name, core.Options{Access: core.CopyOnWrite, Length: n})
		_, err := f.WriteAt([]byte("private"), 100)
		check(t, err)
		check(t, f.Close())
	}
}

func TestLockOfMemoryIsUnsupported(t *testing.T) {
	f := core.NewMemory("memory", []byte("x"))
	l := f.NewLock()
	if l == nil {
		t.Fatal("no lock")
	}
	for what, err := range map[string]error{
		"Try": l.Try(lock.Shared), "Acquire": l.Acquire(t.Context(), lock.Exclusive),
		"Range": l.Range(0, 1).Try(lock.Shared), "Nested": l.Nested().Try(lock.Shared), "Release": l.Release(),
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v, want ErrUnsupported", what, err)
		}
	}
}

// What opening has created in a directory that is swapped away goes with the
// failed try.
func TestSwappedDirectoryKeepsNothing(t *testing.T) {
	if !sys.MapsFiles {
		t.Skip("this platform maps no files")
	}
	renamesParents(t)
	dir := t.TempDir()
	d, away := filepath.Join(dir, "d"), filepath.Join(dir, "away")
	check(t, os.Mkdir(d, 0o700))
	during(t, "flock", func() {
		check(t, os.Rename(d, away))
		check(t, os.Mkdir(d, 0o700))
	})
	f, err := core.OpenFile(filepath.Join(d, "file"), core.Options{Access: core.ReadWrite, Create: true, Size: 10})
	check(t, err)
	check(t, f.Close())
	if got := entries(t, away); len(got) != 0 {
		t.Errorf("the directory that was swapped away has %v", got)
	}
	if got := entries(t, d); len(got) != 1 {
		t.Errorf("the directory has %v", got)
	}
}

// Each advice works, or says that it is unsupported, or that nothing may be
// stored.
func TestAdviceThatTheKernelLacks(t *testing.T) {
	name := tempFile(t, pattern(64*KiB, 1))
	for _, o := range []core.Options{{}, {Access: core.ReadWrite}, {Access: core.CopyOnWrite}} {
		f := opened(t, name, o)
		for a := core.AdviceNormal; a <= core.AdvicePopulateWrite; a++ {
			for _, n := range []int64{64 * KiB, 4 * KiB} {
				if err := f.Advise(a, 0, n); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, core.ErrReadOnly) {
					t.Errorf("%v, advice %d for %d bytes: %v", o.Access, a, n, err)
				}
			}
		}
		check(t, f.Close())
	}
}
