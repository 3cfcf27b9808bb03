package core_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// needsFiles skips a test of mapped files where the system maps none;
// TestOpeningWhereNoFileIsMapped is for such systems.
func needsFiles(t testing.TB) {
	t.Helper()
	if !sys.MapsFiles {
		t.Skip("this system maps no files: opening one returns ErrUnsupported")
	}
}

// needsCutting skips a test that shortens a file under its mapping where the
// system refuses that.
func needsCutting(t testing.TB) {
	t.Helper()
	if sys.ShrinkNeedsUnmap {
		t.Skip("this system shortens no file that is mapped")
	}
}

// symlink makes a symbolic link. It skips the test on a system that reports
// success and makes none.
func symlink(t testing.TB, to, name string) {
	t.Helper()
	check(t, os.Symlink(to, name))
	if _, err := os.Lstat(name); err != nil {
		t.Skipf("this system only says that it makes symbolic links: %v", err)
	}
}

// freezesExec reports whether the bytes of f can be made executable.
func freezesExec(f *core.File) bool {
	if f.Fd() != ^uintptr(0) {
		return f.Access() == core.ReadExec || !sys.ExecIsFixed
	}
	return f.Name() != "memory" && sys.MapsFiles
}

// everyPinBlocks reports whether every pin delays a shrinking of f, wherever it
// is.
func everyPinBlocks(f *core.File) bool {
	return sys.ShrinkNeedsUnmap && f.Fd() != ^uintptr(0)
}

// missingHere reports whether err is that of a system that lacks what Linux
// has, or of a sandbox.
func missingHere(err error) bool {
	return (runtime.GOOS != "linux" || testutil.Sandboxed()) && errors.Is(err, errors.ErrUnsupported)
}

// Where no file can be mapped, opening says so; it makes none and empties none.
func TestOpeningWhereNoFileIsMapped(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(name, []byte("bytes"), 0o600))
	if sys.MapsFiles { // then a system call fails as it would elsewhere
		failing(t, sys.OpMmap, 0, errors.ErrUnsupported)
	}
	for what, open := range map[string]func() (*core.File, error){
		"Open":           func() (*core.File, error) { return core.Open(name) },
		"to write":       func() (*core.File, error) { return core.OpenFile(name, core.Options{Access: core.ReadWrite}) },
		"a private one":  func() (*core.File, error) { return core.OpenFile(name, core.Options{Access: core.CopyOnWrite}) },
		"without a lock": func() (*core.File, error) { return core.OpenFile(name, core.Options{NoLock: true}) },
		"Create":         func() (*core.File, error) { return core.Create(name+".new", 100) },
	} {
		f, err := open()
		if pe := (*fs.PathError)(nil); !errors.Is(err, errors.ErrUnsupported) || !errors.As(err, &pe) || pe.Op != "open" {
			t.Errorf("%s: %v, %v, want ErrUnsupported with a path", what, f, err)
		}
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != "bytes" {
		t.Errorf("the file has %q, %v", got, err)
	}
	if names := entries(t, filepath.Dir(name)); len(names) != 1 {
		t.Errorf("the directory has %v", names)
	}
}

// accountsForMemory reports whether the system refuses a reservation that it
// could never back with memory. Other systems reserve the addresses, and fail
// when they are used.
func accountsForMemory() bool {
	switch runtime.GOOS {
	case "linux":
		b, err := os.ReadFile("/proc/sys/vm/overcommit_memory")
		return err == nil && strings.TrimSpace(string(b)) != "1" // not for those who ask for it
	case "windows":
		return true
	}
	return false
}

// vma is what the kernel says of one mapping of a file.
type vma struct {
	resident int64  // bytes in page tables
	dirty    int64  // of these, bytes not written back
	flags    string // two letters each, as proc_pid_smaps(5) has them
}

// showsMappings is true where [vmas] works. Programs for Windows see wine's
// /proc, with other names in it.
const showsMappings = runtime.GOOS == "linux"

// vmas are the kernel's mappings of the file of that name in this process.
// On a system that does not show them, it skips the test.
func vmas(t testing.TB, name string) (all []vma) {
	t.Helper()
	if !showsMappings {
		t.Skip("the system does not show its mappings")
	}
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skipf("the system does not show its mappings: %v", err)
	}
	ours := false
	for line := range strings.Lines(string(b)) {
		switch field := strings.Fields(line); {
		case !strings.HasSuffix(field[0], ":"): // the head of the next one
			// The name comes last, with its spaces.
			if ours = strings.HasSuffix(strings.TrimSuffix(line, "\n"), " "+name); ours {
				all = append(all, vma{})
			}
		case ours && field[0] == "Rss:":
			kib, err := strconv.ParseInt(field[1], 10, 64)
			check(t, err)
			all[len(all)-1].resident = kib * KiB
		case ours && strings.HasSuffix(field[0], "_Dirty:"): // private and shared
			kib, err := strconv.ParseInt(field[1], 10, 64)
			check(t, err)
			all[len(all)-1].dirty += kib * KiB
		case ours && field[0] == "VmFlags:":
			all[len(all)-1].flags = " " + strings.Join(field[1:], " ") + " "
		}
	}
	return all
}
