package torture

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/internal/sys/sandbox"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// withoutCall are the tests of what the refused calls do, which nothing does in
// their place: blocks and huge pages ahead of a store, and word of a failed
// write-back before a copy.
const withoutCall = "FullDisk|DiskFull|HoleBehind|TakesNoRoom|HasItsBlocks|WhatWasNotWritten|Hugetlbfs"

// withoutAdvice are the tests that count what is read around pages, which an advice
// brings about or prevents, and those of what that costs; and one in which pages
// are brought in by advice where preads fail.
const withoutAdvice = "TestOrder$|TestReadingAround$|OperationsAreNamed|MemoryPerFile|AfterAShutdown"

// withoutEffect are the tests that look in the kernel's tables for advice that
// was taken, of which gVisor's has no trace.
const withoutEffect = "AdviceGoesAlong"

// slow are tests that take long and reach no call that may be refused. They run
// where all are refused together.
const slow = "UnderResizing|LeftBehind|BesideAClose|BeforeItIsLocked|Killed|OtherProcesses|GoCommand|Interleaving"

// sandboxed has the suites to run where one call is refused: a pattern of tests
// per package. Other advice than that named here has the suites of "madvise".
// What has none is refused together with the others only: the library does not
// make the call.
var sandboxed = map[string]map[string]string{
	"mincore":                         {"core": "Refus|Backend|Model|Advi|Populat|Lives", "async": "Load|PageIn|Resident|Read|Stream|File"},
	"preadv2(RWF_NOWAIT)":             {"core": "Refus|Populat|Read", "async": "Load|PageIn|Resident"},
	"fallocate":                       {"core": "Refus|Backend|Model|Open|Truncat|Grow|Lives", "async": "Resize|Abandon"},
	"fallocate(FALLOC_FL_PUNCH_HOLE)": {"core": "Refus|Punch|Zero"},
	"copy_file_range":                 {"core": "Refus|Copy", "async": "Copy|Abandon"},
	"ioctl(FICLONERANGE)":             {"core": "Refus|Copy", "async": "Copy|Abandon"},
	"sync_file_range":                 {"core": "Refus|Copy|Flush|Writeback", "flush": ".", "async": "Flush|Background"},
	"fcntl(F_OFD_SETLK)":              {"core": "Refus|Open", "lock": "."},
	"fstatfs":                         {"core": "Refus|Open|Grow|Hole"},
	"madvise":                         {"core": "Refus|Advi", "async": "Operations"},
	"madvise(MADV_WILLNEED)":          {"core": "Refus|Advi|Populat|Read", "async": "Load|PageIn|Read|Stream"},
	"madvise(MADV_POPULATE_*)":        {"core": "Refus|Advi|Populat|Backend", "async": "Load|PageIn|Read|Stream"},
}

// A gvisor is a list of what gVisor does where Linux does more: advice that is
// taken and ignored, or not known, and calls that are missing.
const gvisor = "madvise(MADV_WILLNEED)=0,madvise(MADV_RANDOM)=0,madvise(MADV_SEQUENTIAL)=0," +
	"madvise(MADV_HUGEPAGE)=0,madvise(MADV_DONTDUMP)=0,madvise(MADV_DONTFORK)=0,madvise(MADV_MERGEABLE)=0," +
	"madvise(MADV_POPULATE_*)=EINVAL,madvise(MADV_COLD)=EINVAL,madvise(MADV_PAGEOUT)=EINVAL," +
	"madvise(MADV_COLLAPSE)=EINVAL,madvise(MADV_FREE)=EINVAL,madvise(MADV_REMOVE)=EINVAL," +
	"preadv2(RWF_NOWAIT)=EOPNOTSUPP,fallocate(FALLOC_FL_PUNCH_HOLE)=EOPNOTSUPP," +
	"copy_file_range=ENOSYS,sync_file_range=ENOSYS,ioctl(FICLONERANGE)=EOPNOTSUPP"

// TestSandboxes runs the behaviour tests of core, lock, flush and async under
// filters that refuse what the library can do without: one call at a time, with
// EPERM and with ENOSYS, all of them together, and what gVisor does.
func TestSandboxes(t *testing.T) {
	testutil.RequireProcesses(t)
	names := sandbox.Names()
	if len(names) == 0 {
		t.Skip("this system cannot filter system calls")
	}
	bin := t.TempDir()
	packages := []string{"core", "lock", "flush", "async"}
	for _, p := range packages {
		build := exec.Command("go", "test", "-c", "-o", filepath.Join(bin, p), "./"+p)
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", p, err, out)
		}
	}
	places := make(chan struct{}, runtime.GOMAXPROCS(0))
	run := func(title, refuse, p, pattern, skip string) {
		t.Run(p+" "+title, func(t *testing.T) {
			t.Parallel()
			places <- struct{}{}
			defer func() { <-places }()
			cmd := exec.Command(filepath.Join(bin, p), "-test.short", "-test.timeout=5m", "-test.run="+pattern, "-test.skip="+skip)
			cmd.Dir = filepath.Join("..", "..", p)
			cmd.Env = append(os.Environ(), sandbox.Env+"="+refuse)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s\n%v\n%s", strings.Join(cmd.Args[1:], " "), err, out)
			}
		})
	}
	for _, result := range []string{"EPERM", "ENOSYS"} {
		var all []string
		for _, name := range names {
			one := name + "=" + result
			all = append(all, one)
			suites := sandboxed[name]
			if suites == nil && strings.HasPrefix(name, "madvise(") {
				suites = sandboxed["madvise"]
			}
			for _, p := range packages {
				if pattern, ok := suites[p]; ok {
					run(one, one, p, pattern, withoutCall+"|"+withoutAdvice+"|"+slow)
				}
			}
		}
		for _, p := range packages {
			run("all="+result, strings.Join(all, ","), p, ".", withoutCall+"|"+withoutAdvice)
		}
	}
	for _, p := range packages {
		run("gVisor", gvisor, p, ".", withoutCall+"|"+withoutAdvice+"|"+withoutEffect)
	}
	for name := range sandboxed {
		if name != "madvise" && !slices.Contains(names, name) {
			t.Errorf("there is no sandbox for %q", name)
		}
	}
}
