package core_test

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// needsCutting skips a test that shortens a file under its mapping where the system refuses that.
func needsCutting(t testing.TB) {
	t.Helper()
	if sys.ShrinkNeedsUnmap {
		t.Skip("this system shortens no file that is mapped")
	}
}

// everyPinBlocks says that pins stand in the way of shrinking f wherever they are.
func everyPinBlocks(f *core.File) bool {
	return sys.ShrinkNeedsUnmap && f.Fd() != ^uintptr(0)
}

// missingHere says that err is the answer of a system that lacks what Linux has.
func missingHere(err error) bool {
	return runtime.GOOS != "linux" && errors.Is(err, errors.ErrUnsupported)
}

// vma is what the kernel says of one mapping of a file.
type vma struct {
	resident int64  // bytes in page tables
	flags    string // two letters each, as proc_pid_smaps(5) has them
}

// vmas are the kernel's mappings of the file of that name in this process. Where it does not tell, the
// test is skipped.
func vmas(t testing.TB, name string) (all []vma) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skipf("the system does not show its mappings: %v", err)
	}
	ours := false
	for line := range strings.Lines(string(b)) {
		switch field := strings.Fields(line); {
		case !strings.HasSuffix(field[0], ":"): // the head of the next one
			if ours = field[len(field)-1] == name; ours {
				all = append(all, vma{})
			}
		case ours && field[0] == "Rss:":
			kib, err := strconv.ParseInt(field[1], 10, 64)
			check(t, err)
			all[len(all)-1].resident = kib * KiB
		case ours && field[0] == "VmFlags:":
			all[len(all)-1].flags = " " + strings.Join(field[1:], " ") + " "
		}
	}
	return all
}
