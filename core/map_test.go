package core_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

// openedAs opens a file with package os.
func openedAs(t *testing.T, name string, flag int) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, flag, 0)
	check(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// What the descriptor allows decides, also for root.
func TestMapAsTheDescriptorAllows(t *testing.T) {
	for _, c := range []struct {
		name string
		flag int
		o    core.Options
		want error
	}{
		{"read-only", os.O_RDONLY, core.Options{}, nil},
		{"copy of a read-only one", os.O_RDONLY, core.Options{Access: core.CopyOnWrite}, nil},
		{"stores into a read-only one", os.O_RDONLY, core.Options{Access: core.ReadWrite}, fs.ErrPermission},
		{"length of a read-only one", os.O_RDONLY, core.Options{Access: core.ReadWrite, Size: 5000}, fs.ErrPermission},
		{"emptying a read-only one", os.O_RDONLY, core.Options{Access: core.ReadWrite, Truncate: true}, fs.ErrPermission},
		{"write-only", os.O_WRONLY, core.Options{}, fs.ErrPermission},
		{"stores into a write-only one", os.O_WRONLY, core.Options{Access: core.ReadWrite}, fs.ErrPermission},
		{"read-write", os.O_RDWR, core.Options{Access: core.ReadWrite}, nil},
		{"longer", os.O_RDWR, core.Options{Access: core.ReadWrite, Size: 5000}, nil},
		{"reading a read-write one", os.O_RDWR, core.Options{}, nil},
		{"appending", os.O_RDWR | os.O_APPEND, core.Options{Access: core.ReadWrite}, fs.ErrInvalid},
		{"create", os.O_RDWR, core.Options{Access: core.ReadWrite, Create: true}, fs.ErrInvalid},
		{"mode", os.O_RDWR, core.Options{Perm: 0o600}, fs.ErrInvalid},
		{"flags", os.O_RDWR, core.Options{Flags: os.O_SYNC}, fs.ErrInvalid},
		{"range", os.O_RDWR, core.Options{Offset: 1001}, core.ErrRange},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := pattern(1000, 1)
			name := tempFile(t, want)
			file := openedAs(t, name, c.flag)
			f, err := core.Map(file, c.o)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err == nil {
				if size := max(c.o.Size, 1000); f.Len() != size || f.Name() != name {
					t.Errorf("%v of %d bytes", f, size)
				}
				check(t, f.Close())
			}
			if _, err := file.Stat(); err != nil {
				t.Errorf("the caller's descriptor: %v", err)
			}
			got, err := os.ReadFile(name)
			if err != nil || !bytes.HasPrefix(got, want) || c.want != nil && len(got) != len(want) {
				t.Errorf("the file changed (%v)", err)
			}
		})
	}
}

// The caller may close what was mapped; the File goes on, and keeps its lock.
func TestMapOutlivesTheDescriptor(t *testing.T) {
	name := tempFile(t, pattern(1000, 1))
	file := openedAs(t, name, os.O_RDWR)
	f, err := core.Map(file, core.Options{Access: core.ReadWrite})
	check(t, err)
	check(t, file.Close())
	if _, err := core.Open(name); !errors.Is(err, lock.ErrLocked) {
		t.Errorf("opening what is mapped: %v", err)
	}
	check(t, f.Truncate(2000))
	check(t, f.Flush())
	check(t, f.Remove())
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
	check(t, f.Close())
}

func TestMapOfALockedFile(t *testing.T) {
	name := tempFile(t, pattern(1000, 1))
	holder := opened(t, name, core.Options{Access: core.ReadWrite})
	file := openedAs(t, name, os.O_RDWR)
	if _, err := core.Map(file, core.Options{Access: core.ReadWrite, Truncate: true}); !errors.Is(err, lock.ErrLocked) {
		t.Errorf("got %v", err)
	}
	if n := holder.Len(); n != 1000 {
		t.Errorf("%d bytes", n)
	}
}

// Nothing is removed by a name that is not known to be the file's.
func TestMapWithoutAName(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("package os opens files that Windows does not rename")
	}
	name := tempFile(t, pattern(1000, 1))
	file := openedAs(t, name, os.O_RDWR)
	check(t, os.Rename(name, name+".moved"))
	check(t, os.WriteFile(name, []byte("another"), 0o600))
	if _, err := core.Map(file, core.Options{RemoveOnClose: true}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("to be removed: %v", err)
	}
	f, err := core.Map(file, core.Options{Access: core.ReadWrite})
	check(t, err)
	if err := f.Remove(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("removed: %v", err)
	}
	check(t, f.Flush())
	check(t, f.Close())
	check(t, os.Rename(name+".moved", name))

	root, err := os.OpenRoot(filepath.Dir(name))
	check(t, err)
	defer root.Close()
	inRoot, err := root.Open("file")
	check(t, err)
	defer inRoot.Close()
	f, err = core.Map(inRoot, core.Options{RemoveOnClose: true})
	check(t, err)
	check(t, f.Close())
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not removed: %v", err)
	}
}

func TestMapOfWhatCannotBeMapped(t *testing.T) {
	needsFiles(t)
	if _, err := core.Map(nil, core.Options{}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("nil: %v", err)
	}
	closed := openedAs(t, tempFile(t, nil), os.O_RDONLY)
	check(t, closed.Close())
	if _, err := core.Map(closed, core.Options{}); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	r, w, err := os.Pipe()
	check(t, err)
	defer r.Close()
	defer w.Close()
	for _, f := range []*os.File{r, openedAs(t, t.TempDir(), os.O_RDONLY)} {
		if _, err := core.Map(f, core.Options{Length: 1}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", f.Name(), err)
		}
	}
	file := openedAs(t, tempFile(t, pattern(10, 1)), os.O_RDONLY)
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	cancel(cause)
	if _, err := core.MapContext(ctx, file, core.Options{}); !errors.Is(err, cause) {
		t.Errorf("canceled: %v", err)
	}
}

// /dev/zero is a device that reports no size; what is mapped is memory.
func TestMapOfADevice(t *testing.T) {
	testutil.RequireLinux(t, "/dev/zero that can be mapped shared")
	file := openedAs(t, "/dev/zero", os.O_RDWR)
	rw := core.Options{Access: core.ReadWrite, Length: 10000}
	for _, c := range []struct {
		o    core.Options
		want error
	}{
		{core.Options{}, core.ErrRange},
		{core.Options{Access: core.ReadWrite, Length: 1, Truncate: true}, errors.ErrUnsupported},
		{core.Options{Access: core.ReadWrite, Length: 1, Size: 1}, errors.ErrUnsupported},
	} {
		if _, err := core.Map(file, c.o); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
	f, err := core.Map(file, rw)
	check(t, err)
	check(t, core.Put[uint64](f, 9992, binary.LittleEndian, 7))
	check(t, f.Flush())
	for what, err := range map[string]error{
		"truncate": f.Truncate(5), "close": f.CloseTruncate(5),
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n, err := f.Refresh(); n != 10000 || err != nil {
		t.Errorf("refresh: %d, %v", n, err)
	}
	if v, err := core.Get[uint64](f, 9992, binary.LittleEndian); v != 7 || err != nil {
		t.Errorf("got %d, %v", v, err)
	}
	check(t, f.Close())
}

func TestNewShared(t *testing.T) {
	needsFiles(t)
	f, err := core.NewShared("a name", 1000, core.Options{})
	check(t, err)
	defer f.Close()
	another, err := f.Dup()
	check(t, err)
	g, err := core.Map(another, core.Options{Access: core.ReadWrite, NoLock: true})
	check(t, err)
	check(t, another.Close())
	defer g.Close()
	check(t, core.Put[uint32](f, 996, binary.LittleEndian, 42))
	if v, err := core.Get[uint32](g, 996, binary.LittleEndian); v != 42 || err != nil {
		t.Errorf("got %d, %v", v, err)
	}
	check(t, f.Truncate(1<<20))
	if n, err := g.Refresh(); n != 1<<20 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	check(t, f.Flush())
	if err := f.Remove(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("removed: %v", err)
	}
	for _, o := range []core.Options{{Create: true}, {Truncate: true}, {Offset: 1}, {Length: 1}, {Stack: true}, {RemoveOnClose: true}} {
		if f, err := core.NewShared("x", 1, o); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%+v: %v, %v", o, f, err)
		}
	}
	if _, err := core.NewShared("x", -1, core.Options{}); !errors.Is(err, core.ErrRange) {
		t.Errorf("negative: %v", err)
	}
	check(t, f.Close())
	if _, err := f.Dup(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a duplicate of a closed file: %v", err)
	}
	if _, err := core.NewMemory("memory", nil).Dup(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a duplicate of memory: %v", err)
	}
}

// The other process is that of ExampleNewShared.
func TestSharedWithAnotherProcess(t *testing.T) {
	needsFiles(t)
	if runtime.GOOS == "windows" {
		t.Skip("Windows passes no ExtraFiles on")
	}
	f, err := core.NewShared("counter", 4096, core.Options{})
	check(t, err)
	defer f.Close()
	check(t, core.Put[uint64](f, 0, binary.NativeEndian, 2))
	passed, err := f.Dup()
	check(t, err)
	defer passed.Close()
	cmd := testutil.Command(t, "add")
	cmd.ExtraFiles = []*os.File{passed}
	if _, err := testutil.StartProcess(t, cmd).Wait(); err != nil {
		t.Fatal(err)
	}
	if v, err := core.Get[uint64](f, 0, binary.NativeEndian); v != 42 || err != nil {
		t.Errorf("got %d, %v", v, err)
	}
}

// What takes the place of memory that is writable and executable at once: a
// second map of the same file.
func TestStoresShowInAnExecutableMap(t *testing.T) {
	testutil.NoLeaks(t)
	name := tempFile(t, pattern(4096, 1))
	f := opened(t, name, core.Options{Access: core.ReadWrite})
	dup, err := f.Dup()
	check(t, err)
	x, err := core.Map(dup, core.Options{Access: core.ReadExec, NoLock: true})
	check(t, dup.Close())
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) {
		t.Skipf("nothing can be executed here: %v", err)
	}
	check(t, err)
	if _, err := f.WriteAt([]byte("code"), 100); err != nil {
		t.Fatal(err)
	}
	if got := string(contents(t, x)[100:104]); got != "code" {
		t.Errorf("the executable map shows %q", got)
	}
	if _, err := x.WriteAt([]byte("x"), 0); !errors.Is(err, core.ErrReadOnly) {
		t.Errorf("a store into it: %v", err)
	}
	check(t, x.Close())
	check(t, f.Close())
}
