package core_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/lock"
)

func TestRefusedOptionsChangeNothing(t *testing.T) {
	rw := core.ReadWrite
	for _, c := range []struct {
		name string
		o    core.Options
		want error
	}{
		{"negative size", core.Options{Access: rw, Size: -1}, core.ErrRange},
		{"negative offset", core.Options{Access: rw, Offset: -1}, core.ErrRange},
		{"negative length", core.Options{Access: rw, Length: -1}, core.ErrRange},
		{"negative reserve", core.Options{Access: rw, Reserve: -1}, core.ErrRange},
		{"overflow", core.Options{Access: rw, Offset: math.MaxInt64, Length: 1}, core.ErrRange},
		{"offset past the end", core.Options{Access: rw, Offset: 1001}, core.ErrRange},
		{"length past the end", core.Options{Access: rw, Offset: 1, Length: 1000}, core.ErrRange},
		{"past the end once truncated", core.Options{Access: rw, Truncate: true, Length: 1}, core.ErrRange},
		{"past the size asked for", core.Options{Access: rw, Truncate: true, Size: 10, Offset: 5, Length: 6}, core.ErrRange},
		{"unknown access", core.Options{Access: 77}, fs.ErrInvalid},
		{"exclusive alone", core.Options{Access: rw, Exclusive: true}, fs.ErrInvalid},
		{"exclusive and present", core.Options{Access: rw, Create: true, Exclusive: true, Truncate: true}, fs.ErrExist},
		{"stack", core.Options{Access: rw, Stack: true}, fs.ErrInvalid},
		{"mode bits", core.Options{Access: rw, Create: true, Perm: fs.ModeDir | 0o644}, fs.ErrInvalid},
		{"flags", core.Options{Access: rw, Flags: os.O_TRUNC}, fs.ErrInvalid},
		{"append", core.Options{Access: rw, Flags: os.O_APPEND}, fs.ErrInvalid},
		{"truncate read-only", core.Options{Truncate: true}, core.ErrReadOnly},
		{"truncate copy-on-write", core.Options{Access: core.CopyOnWrite, Truncate: true}, core.ErrReadOnly},
		{"size read-only", core.Options{Size: 2000}, core.ErrReadOnly},
		{"create read-only", core.Options{Create: true}, core.ErrReadOnly},
		{"size no disk has", core.Options{Access: rw, Size: math.MaxInt64}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := pattern(1000, 1)
			name := tempFile(t, want)
			f, err := core.OpenFile(name, c.o)
			if err == nil {
				f.Close()
				t.Fatal("opened")
			}
			var pe *fs.PathError
			if !errors.As(err, &pe) || pe.Path != name || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the file changed (%v)", err)
			}
			if c.o.Exclusive {
				return
			}
			absent := name + ".absent"
			if f, err := core.OpenFile(absent, c.o); err == nil {
				f.Close()
				t.Error("opened an absent file")
			}
			if _, err := os.Lstat(absent); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("an absent file is there now: %v", err)
			}
		})
	}
}

func TestErrorNamesTheNegativeOption(t *testing.T) {
	for _, c := range []struct {
		o    core.Options
		want string
	}{
		{core.Options{Size: -1}, "Size -1 is negative"},
		{core.Options{Offset: -2}, "Offset -2 is negative"},
		{core.Options{Length: -3}, "Length -3 is negative"},
		{core.Options{Reserve: -4}, "Reserve -4 is negative"},
	} {
		c.o.Access = core.ReadWrite
		_, err := core.OpenFile(tempFile(t, nil), c.o)
		if !errors.Is(err, core.ErrRange) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestALockedFileIsLeftAlone(t *testing.T) {
	want := pattern(1000, 1)
	name := tempFile(t, want)
	holder := opened(t, name, core.Options{Access: core.ReadWrite})
	for _, o := range []core.Options{
		{}, {Access: core.CopyOnWrite}, {Access: core.ReadWrite},
		{Access: core.ReadWrite, Truncate: true}, {Access: core.ReadWrite, Create: true, Truncate: true, Size: 5000},
	} {
		if _, err := core.OpenFile(name, o); !errors.Is(err, lock.ErrLocked) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file changed (%v)", err)
	}
	unlocked := opened(t, name, core.Options{NoLock: true})
	check(t, unlocked.Close())
	check(t, holder.Close())
	first, second := opened(t, name, core.Options{}), opened(t, name, core.Options{}) // readers share
	check(t, first.Close())
	check(t, second.Close())
}

// The file is replaced between its opening and its locking. The lock must be that
// of the file which others find under the name. When that keeps changing,
// opening gives up after a time.
func TestFileReplacedBeforeItIsLocked(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows renames nothing over a file that is open")
	}
	name := tempFile(t, []byte("the first"))
	var replaced int
	replacing := func(times int) {
		replaced = 0
		t.Cleanup(sys.Inject(func(op sys.Op) error {
			if op == sys.OpFlock && replaced < times {
				replaced++
				check(t, os.WriteFile(name+".next", fmt.Append(nil, "number ", replaced), 0o600))
				check(t, os.Rename(name+".next", name))
			}
			return nil
		}))
	}
	replacing(3)
	f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite})
	check(t, err)
	if got := string(contents(t, f)); got != "number 3" || replaced != 3 {
		t.Errorf("after %d replacements the file has %q", replaced, got)
	}
	check(t, f.Close())

	replacing(1)
	check(t, os.Remove(name))
	if f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true, Exclusive: true}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that was made, and replaced: %v, %v", f, err)
	}

	replacing(math.MaxInt)
	before := replaced
	synctest.Test(t, func(t *testing.T) { // where its patience costs no time
		if f, err := core.Open(name); err == nil {
			f.Close()
			t.Error("opened a file that was never the one of its name")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := core.OpenFileContext(ctx, name, core.Options{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a context that ends: %v", err)
		}
	})
	if replaced < before+200 {
		t.Errorf("the name was looked at %d times", replaced-before)
	}
}

func TestWhatIsNotARegularFile(t *testing.T) {
	needsFiles(t)
	dir := t.TempDir()
	if _, err := core.Open(dir); err == nil {
		t.Error("mapped a directory")
	}
	if _, err := core.Open(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if _, err := core.Open(""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no name: %v", err)
	}
	if runtime.GOOS == "linux" {
		if _, err := core.Open("/dev/null"); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("a device: %v", err)
		}
	}
}

func TestALinkThatLeadsNowhere(t *testing.T) {
	needsFiles(t)
	dangling := filepath.Join(t.TempDir(), "dangling")
	symlink(t, "nowhere", dangling)
	if _, err := core.OpenFile(dangling, core.Options{Access: core.ReadWrite, Create: true}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	if names := entries(t, filepath.Dir(dangling)); len(names) != 1 {
		t.Errorf("the directory has %v", names)
	}
}

func TestCreate(t *testing.T) {
	needsFiles(t)
	name := filepath.Join(t.TempDir(), "new")
	f, err := core.Create(name, 10_000)
	check(t, err)
	if f.Len() != 10_000 || f.Name() != name || f.Access() != core.ReadWrite {
		t.Errorf("got %d bytes of %q, %v", f.Len(), f.Name(), f.Access())
	}
	_, err = f.WriteAt([]byte("old contents"), 0)
	check(t, err)
	check(t, f.Close())
	if got, err := os.ReadFile(name); err != nil || len(got) != 10_000 || string(got[:12]) != "old contents" {
		t.Errorf("the file has %d bytes, %v", len(got), err)
	}
	f, err = core.Create(name, 20) // empties it first
	check(t, err)
	if got := contents(t, f); !bytes.Equal(got, make([]byte, 20)) {
		t.Errorf("created over an old file: %q", got)
	}
	check(t, f.Close())
	if _, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true, Exclusive: true}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("exclusive: %v", err)
	}
}

func TestWindows(t *testing.T) {
	want := pattern(200*KiB, 5)
	name := tempFile(t, want)
	for _, w := range []struct{ off, n int64 }{{0, 0}, {0, 1}, {1, 1}, {4095, 2}, {4096, 4096}, {65_537, 70_000}, {200 * KiB, 0}, {200*KiB - 1, 1}} {
		f := opened(t, name, core.Options{Offset: w.off, Length: w.n, Populate: true})
		end := w.off + w.n
		if w.n == 0 {
			end = int64(len(want))
		}
		if !bytes.Equal(contents(t, f), want[w.off:end]) {
			t.Errorf("window %+v differs", w)
		}
		check(t, f.Close())
	}
}

// Every system call that opening makes is made to fail once; then the file must be
// as it was, or absent again.
func TestOpenWhenACallFails(t *testing.T) {
	for _, op := range []sys.Op{sys.OpMmap, sys.OpTruncate, sys.OpFallocate, sys.OpMadvise, sys.OpFlock} {
		for nth := 1; nth <= 3; nth++ {
			want := pattern(10_000, 6)
			name := tempFile(t, want)
			o := core.Options{Access: core.ReadWrite, Size: 20_000, Create: true, Populate: true, Reserve: 1}
			calls := failing(t, op, nth, syscall.EIO)
			f, err := core.OpenFile(name, o)
			hit := calls() >= nth
			if err == nil {
				f.Close()
				if hit && op != sys.OpMmap && op != sys.OpFlock { // a smaller mapping may do
					t.Errorf("%s call %d failed unseen", op, nth)
				}
				continue
			}
			failing(t, "", 0, nil)
			if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s call %d: the file has %d bytes now, %v", op, nth, len(got), err)
			}
			failing(t, op, nth, syscall.EIO)
			if _, err := core.OpenFile(name+".absent", o); err == nil {
				t.Errorf("%s call %d failed unseen", op, nth)
			}
			if _, err := os.Lstat(name + ".absent"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s call %d: left a file: %v", op, nth, err)
			}
		}
	}
}
