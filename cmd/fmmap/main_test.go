package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
	"github.com/fmmap-go/fmmap/wal"
)

// child makes the test's own program the command that lock runs.
const child = "FMMAP_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(child) != "" {
		os.Stdout.WriteString("ran\n")
		os.Exit(7)
	}
	os.Exit(m.Run())
}

// A TestCalls case is a call with its exit code and what its output contains; DIR
// stands for a directory with a file "data" and logs "log" and "damaged".
func TestCalls(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.WriteFile(data, bytes.Repeat([]byte("x"), 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	writeLog(t, filepath.Join(dir, "log"))
	for _, tt := range []struct {
		call           string
		code           int
		stdout, stderr string // parts of the output; empty means none at all
	}{
		{"", exitUsage, "", "Usage: fmmap COMMAND"},
		{"help", exitOK, "wal    list, dump", ""},
		{"help wal", exitOK, "repair  keeps the records", ""},
		{"stat -h", exitOK, "Usage: fmmap stat", ""},
		{"bogus", exitUsage, "", `unknown command "bogus"`},
		{"stat", exitUsage, "", "wrong number of arguments"},
		{"stat -bogus", exitUsage, "", "not defined"},
		{"stat DIR/data", exitOK, "size       100000\n", ""},
		{"stat -json DIR/data", exitOK, `"size":100000`, ""},
		{"stat DIR/missing DIR/data", exitFailed, "size       100000\n", "missing"},
		{"stat DIR", exitFailed, "", "not a regular file"},
		{"watch -c 2 -n 1ms DIR/data", exitOK, "size       100000\n", ""},
		{"watch -c 1 -folios DIR/data", exitOK, "  folios     ", ""},
		{"watch -n 0s DIR/data", exitUsage, "", "interval must be positive"},
		{"watch DIR/missing", exitFailed, "", "missing"},
		{"warm -json DIR/data", exitOK, `"size":100000`, ""},
		{"warm DIR/missing", exitFailed, "", "missing"},
		{"evict DIR", exitFailed, "", "not a regular file"},
		{"bench", exitUsage, "", "wrong number of arguments"},
		{"bench -time 0s DIR", exitUsage, "", "time must be positive"},
		{"bench -size 1 DIR", exitUsage, "", "1 MiB or more"},
		{"bench DIR/missing", exitFailed, "", "missing"},
		{"bench -time 20ms DIR/data", exitOK, "\nhot/4k ", ""},
		{"bench -time 50ms -size 1048576 DIR", exitOK, "\nappend/64 ", ""},
		{"bench -json -time 50ms -size 1048576 DIR", exitOK, `{"row":"files/4"`, ""},
		{"lock DIR/data", exitUsage, "", "wrong number of arguments"},
		{"lock -x -s DIR/data -- true", exitUsage, "", "at most one of"},
		{"lock -n -w 1s DIR/data -- true", exitUsage, "", "at most one of -n and -w"},
		{"lock -json DIR/data -- true", exitUsage, "", "not defined: -json"},
		{"help lock", exitOK, "-w 0 has no limit", ""},
		{"lock DIR/data --", exitUsage, "", "a command"},
		{"wal ls", exitUsage, "", "wrong number of arguments"},
		{"wal bogus DIR/log", exitUsage, "", "is none of"},
		{"wal ls DIR", exitFailed, "", "no log"},
		{"wal ls DIR/log", exitOK, "records 1 to 3\n", ""},
		{"wal -json ls DIR/log", exitOK, `"first":1,"last":3}`, ""},
		{"wal ls -json DIR/log", exitOK, `"first":1,"last":3}`, ""},
		{"wal", exitUsage, "", "wrong number of arguments"},
		{"wal ls -bogus DIR/log", exitUsage, "", "not defined: -bogus"},
		{"wal -from 2 dump -n 1 DIR/log", exitOK, "2 \"two\"\n", ""},
		{"wal dump DIR/log", exitOK, "1 \"one\"\n2 \"two\"\n3 \"three\"\n", ""},
		{"wal -from 2 -n 1 dump DIR/log", exitOK, "2 \"two\"\n", ""},
		{"wal -json -from 3 dump DIR/log", exitOK, `{"data":"dGhyZWU=","index":3}`, ""},
		{"wal -from 9 dump DIR/log", exitOK, "", ""},
		{"wal verify DIR/log", exitOK, "records 1 to 3 are whole\n", ""},
		{"wal repair DIR/log", exitOK, "nothing to repair; the last record is 3\n", ""},
	} {
		t.Run(tt.call, func(t *testing.T) {
			args := strings.Fields(tt.call)
			for i := range args {
				if rest, ok := strings.CutPrefix(args[i], "DIR"); ok {
					args[i] = filepath.Join(dir, rest)
				}
			}
			code, stdout, stderr := invoke(args...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, o := range []struct{ name, got, want string }{{"stdout", stdout, tt.stdout}, {"stderr", stderr, tt.stderr}} {
				if o.want == "" && o.got != "" || !strings.Contains(o.got, o.want) {
					t.Errorf("%s is %q, want %q in it", o.name, o.got, o.want)
				}
			}
		})
	}
}

func invoke(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(context.Background(), args, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

func writeLog(t *testing.T, dir string) {
	t.Helper()
	l, err := wal.Open(context.Background(), dir, wal.Options{SegmentSize: 1 << 16})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("needs a log: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Write(context.Background(), []byte("one"), []byte("two"), []byte("three")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// A damaged record is found by verify, with exit code 1, and dropped by repair.
func TestWALRepair(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	writeLog(t, dir)
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(b, []byte("two")); i >= 0 {
			b[i] = 'T'
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if code, _, stderr := invoke("wal", "verify", dir); code != exitFailed || stderr == "" {
		t.Fatalf("verify: exit code %d, %q", code, stderr)
	}
	if code, stdout, stderr := invoke("wal", "repair", dir); code != exitOK || !strings.Contains(stdout, "the last record is 1 now\nkept aside: ") {
		t.Fatalf("repair: exit code %d, %q, %q", code, stdout, stderr)
	}
	if code, _, stderr := invoke("wal", "verify", dir); code != exitOK {
		t.Fatalf("verify after repair: exit code %d, %q", code, stderr)
	}
}

// The command's exit status is passed on; a lock held elsewhere ends the wait.
func TestLock(t *testing.T) {
	testutil.RequireProcesses(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(child, "1")
	name := filepath.Join(t.TempDir(), "lock")
	for _, flags := range [][]string{{"lock"}, {"lock", "-s"}, {"lock", "-w", "1m"}, {"lock", "-n"}} {
		code, stdout, stderr := invoke(append(flags, name, "--", self)...)
		if code != 7 || stdout != "ran\n" || stderr != "" {
			t.Errorf("%v: exit code %d, %q, %q", flags, code, stdout, stderr)
		}
	}
	if code, _, _ := invoke("lock", name, "--", filepath.Join(t.TempDir(), "missing")); code != 127 {
		t.Errorf("a missing command: exit code %d", code)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := lock.New(f)
	if err := l.Try(lock.Exclusive); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		flags []string
		why   string
	}{
		{[]string{"-w", "1ms"}, "not acquired within 1ms"},
		{[]string{"-n"}, "locked elsewhere in this process"},
		{[]string{"-n", "-s"}, "locked elsewhere in this process"},
	} {
		code, stdout, stderr := invoke(append(append([]string{"lock"}, tt.flags...), name, "--", self)...)
		if want := "fmmap lock: lock " + name + ": " + tt.why + "\n"; code != exitFailed || stdout != "" || stderr != want {
			t.Errorf("%v of a lock held elsewhere: exit code %d, %q, %q, want %q", tt.flags, code, stdout, stderr, want)
		}
	}
	if runtime.GOOS == "linux" {
		if _, stdout, _ := invoke("stat", name); !strings.Contains(stdout, "holds FLOCK WRITE") {
			t.Errorf("stat does not show the lock: %q", stdout)
		}
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}

// A file that a program has open and locked is looked at and warmed all the same.
func TestLockedFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "data")
	f, err := core.Create(name, 100_000)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("needs a mapped file: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, command := range []string{"stat", "warm"} {
		code, stdout, stderr := invoke(command, name)
		if code != exitOK || stderr != "" || strings.Contains(stdout, "locked elsewhere") {
			t.Errorf("%s: exit code %d, %q, %q", command, code, stdout, stderr)
		}
	}
}

// A line of JSON has each fact, or the reason why it is unknown.
func TestStatJSON(t *testing.T) {
	name := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stdout, stderr := invoke("stat", "-json", name)
	var r report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v in %q, %q", err, stdout, stderr)
	}
	for fact, known := range map[string]bool{
		"allocated": r.Allocated != nil, "holes": r.Holes != nil, "resident": r.Resident != nil, "dirty": r.Dirty != nil,
	} {
		if why := r.Unknown[fact]; known == (why != "") {
			t.Errorf("%s: known is %v, unknown because of %q", fact, known, why)
		}
	}
}

// The folios of a file in memory have all of its bytes, each a power of two of
// pages. Without the right to see them the reason is given.
func TestFolios(t *testing.T) {
	const size = 1 << 20
	name := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stdout, stderr := invoke("stat", "-json", "-folios", name)
	var r report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v in %q, %q", err, stdout, stderr)
	}
	flags, err := os.Open("/proc/kpageflags")
	if err == nil {
		flags.Close()
	}
	if err != nil || !testutil.HasCapability(testutil.CapSysAdmin) {
		if r.Unknown["folios"] == "" {
			t.Errorf("folios are %v, and no reason is given", r.Folios)
		}
		return
	}
	sum, page := int64(0), int64(os.Getpagesize())
	for bytes, n := range r.Folios {
		if bytes%page != 0 || bytes&(bytes-1) != 0 {
			t.Errorf("%d folios of %d bytes", n, bytes)
		}
		sum += bytes * n
	}
	if sum != size {
		t.Errorf("folios of %d bytes, want %d (%s)", sum, size, stdout)
	}
}

func TestBar(t *testing.T) {
	regions := []float64{0, 0.25, 0.5, 1}
	if got := bar(regions, false); got != "·░▓█" {
		t.Errorf("plain: %q", got)
	}
	if got := bar(regions[3:], true); got != "\x1b[32m█\x1b[0m" {
		t.Errorf("colored: %q", got)
	}
}

// A run of bench that is over, or interrupted before or after its first row, leaves
// nothing in the folder.
func TestBenchLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	for _, rows := range []int{0, 1, 100} {
		ctx, cancel := context.WithCancelCause(context.Background())
		out := writerFunc(func(p []byte) (int, error) {
			if rows -= bytes.Count(p, []byte(`{"row":`)); rows <= 0 {
				cancel(errors.New("interrupted"))
			}
			return len(p), nil
		})
		interrupted := rows < 100
		if rows == 0 {
			cancel(errors.New("interrupted"))
		}
		var errs bytes.Buffer
		code := run(ctx, []string{"bench", "-json", "-time", "50ms", "-size", "1048576", dir}, strings.NewReader(""), out, &errs)
		cancel(nil)
		if failed := code == exitFailed && strings.Contains(errs.String(), "interrupted"); failed != interrupted {
			t.Errorf("interrupted is %v: exit code %d, %q", interrupted, code, errs.String())
		}
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestRecommend(t *testing.T) {
	for _, tt := range []struct {
		name  string
		rates map[string]float64
		want  recommendation // without the notes
		note  string
	}{
		{"nothing", nil, recommendation{}, "The defaults"},
		{"slow device", map[string]float64{"commit/1": 100, "commit/64": 4000}, recommendation{Interval: 200 * time.Millisecond}, "40 times"},
		{"no device", map[string]float64{"commit/1": 1e6, "commit/64": 1e6}, recommendation{Interval: time.Millisecond}, "gain little"},
		{"wide lane", map[string]float64{"files/1": 10, "files/2": 79, "files/4": 100}, recommendation{FlushWidth: 4}, ""},
		{"narrow lane", map[string]float64{"page/1": 81, "page/2": 90, "page/4": 100}, recommendation{PageWidth: 1}, ""},
		{"large reads", map[string]float64{"cold/4k": 1000, "cold/64k": 500}, recommendation{}, "8 times the bytes"},
	} {
		f := figures{}
		for row, r := range tt.rates {
			f[row] = figure{Row: row, PerSecond: r, Ratio: 1}
		}
		got := f.recommend()
		if got.FlushWidth != tt.want.FlushWidth || got.PageWidth != tt.want.PageWidth || got.Interval != tt.want.Interval {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
		if !strings.Contains(strings.Join(got.Notes, "\n"), tt.note) {
			t.Errorf("%s: notes %q, want %q", tt.name, got.Notes, tt.note)
		}
	}
}
