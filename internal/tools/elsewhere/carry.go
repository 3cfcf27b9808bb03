package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// otherUser is the number of the user that the tests run as in some rows. It has
// no entry in /etc/passwd, as in many containers.
const otherUser = 54321

// carryOut builds the surroundings of a row and runs the tests in them.
func carryOut(dir, name string) (err error) {
	r := rows[slices.IndexFunc(rows, func(r row) bool { return r.name == name })]
	// What outlives its parent becomes a child of this process, and is found.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl: %w", err)
	}
	if r.run != nil {
		if err := r.run(dir); err != nil {
			return fmt.Errorf("FAIL  %s: %w", name, err)
		}
		fmt.Printf("ok    %s", name)
		return nil
	}
	own, err := os.MkdirTemp(dir, "row-")
	if err != nil {
		return err
	}
	c, err := r.surroundings(dir, own)
	if err != nil {
		err = fmt.Errorf("--    %s: left out, it cannot be built here: %w", name, err)
		if os.Getenv("FMMAP_CI") == "1" {
			return err
		}
		fmt.Print(err)
		return nil
	}
	packages, err := os.ReadFile(filepath.Join(dir, "packages"))
	if err != nil {
		return err
	}
	for pkg := range strings.Lines(string(packages)) {
		err = errors.Join(err, c.test(dir, strings.TrimSpace(pkg)))
	}
	if left, e := os.ReadDir(c.tmp); e != nil || len(left) > 0 {
		err = errors.Join(err, e, fmt.Errorf("left in the temporary directory: %v", left))
	}
	err = errors.Join(err, noChildren())
	if err != nil {
		return fmt.Errorf("FAIL  %s: %w", name, err)
	}
	fmt.Printf("ok    %s: %d passed, %d skipped", name, c.passed, c.skipped)
	for _, reason := range slices.Sorted(maps.Keys(c.reasons)) {
		fmt.Printf("\n        %d %s", c.reasons[reason], reason)
	}
	return nil
}

// conditions are the surroundings of a row, and what was seen in them.
type conditions struct {
	row
	self, tmp       string
	env             []string
	passed, skipped int
	reasons         map[string]int // of skipped tests, by what they need
}

func (r row) surroundings(dir, own string) (c *conditions, err error) {
	c = &conditions{row: r, tmp: filepath.Join(own, r.tmp, "tmp"), reasons: map[string]int{}}
	if c.self, err = os.Executable(); err != nil {
		return nil, err
	}
	// The programs are a file that another user can execute.
	self := filepath.Join(own, "elsewhere")
	b, err := os.ReadFile(c.self)
	if err := errors.Join(err, os.WriteFile(self, b, 0o755)); err != nil {
		return nil, err
	}
	c.self = self
	for _, d := range []string{c.tmp, filepath.Join(own, "home")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	c.env = append(os.Environ(), "FMMAP_CI=", "TMPDIR="+c.tmp)
	if r.bare {
		bin, err := busybox(own)
		if err != nil {
			return nil, err
		}
		c.env = []string{"PATH=" + bin, "TMPDIR=" + c.tmp}
	}
	c.env = append(append(c.env, "HOME="+filepath.Join(own, "home")), r.env...)
	if r.build != nil {
		if err := r.build(own, c.tmp); err != nil {
			return nil, err
		}
	}
	if r.user && os.Geteuid() == 0 {
		c.stage.uid = otherUser
		return c, errors.Join(
			os.Chmod(own, 0o755),
			os.Chown(c.tmp, otherUser, otherUser), os.Chown(filepath.Join(own, "home"), otherUser, otherUser))
	}
	return c, nil
}

// verdict is a line about a test in the output of a test binary.
var verdict = regexp.MustCompile(`(?m)^\s*--- (PASS|SKIP): `)

// reason is what a skipped test needs, as package testutil words it.
var reason = regexp.MustCompile(`(?m)^\s+\S+_test\.go:\d+: (needs .*)$`)

// test runs the tests of a package, if it has any and is one of the row's.
func (c *conditions) test(dir, pkg string) error {
	from := strings.TrimPrefix(strings.TrimPrefix(pkg, "github.com/fmmap-go/fmmap"), "/")
	binary := filepath.Join(dir, "bin", path.Base(pkg)+".test")
	if _, err := os.Stat(binary); err != nil {
		return nil // there are no tests
	}
	if ofSources.MatchString(from) && !c.sources {
		return nil
	}
	args := []string{binary, "-test.v", "-test.timeout=10m"}
	if !c.full {
		args = append(args, "-test.short")
	}
	cmd := exec.Command(c.self, c.stage.args(append(args, c.flags...)...)...)
	cmd.Dir = filepath.Join(dir, "src", from)
	cmd.Env = c.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s, after %.0f s: %w\n%s", from, time.Since(began).Seconds(), err, failures(out))
	}
	for _, v := range verdict.FindAllSubmatch(out, -1) {
		if string(v[1]) == "PASS" {
			c.passed++
		} else {
			c.skipped++
		}
	}
	for _, r := range reason.FindAllSubmatch(out, -1) {
		c.reasons[string(r[1])]++
	}
	return nil
}

// failures returns the output without the tests that passed or were skipped.
func failures(out []byte) []byte {
	var kept, part []byte
	for line := range bytes.Lines(out) {
		switch {
		case bytes.HasPrefix(line, []byte("=== RUN   ")) && !bytes.Contains(line, []byte("/")):
			kept, part = append(kept, part...), nil
		case bytes.HasPrefix(line, []byte("--- PASS")), bytes.HasPrefix(line, []byte("--- SKIP")):
			part = nil
			continue
		case verdict.Match(line): // of a subtest
			continue
		}
		part = append(part, line...)
	}
	return append(kept, part...)
}

// noChildren waits for the last processes of the tests, and kills those that
// remain.
func noChildren() error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if errors.Is(err, unix.ECHILD) {
			return nil
		}
		if pid > 0 || time.Now().Before(end) {
			continue
		}
		files, _ := filepath.Glob("/proc/self/task/*/children")
		var left strings.Builder
		for _, name := range files {
			b, _ := os.ReadFile(name)
			for pid := range strings.FieldsSeq(string(b)) {
				command, _ := os.ReadFile("/proc/" + pid + "/cmdline")
				fmt.Fprintf(&left, " %s %q", pid, command)
				if n, err := strconv.Atoi(pid); err == nil {
					_ = unix.Kill(n, unix.SIGKILL)
				}
			}
		}
		return errors.New("left running:" + left.String())
	}
}
