package testutil

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Strace is [Reexec] under strace(1), which makes system calls of the process
// and of all its threads fail, be late or be killed: inject is what strace
// takes after "-e inject=", for example "msync:error=EIO:when=3+". Its "when"
// counts in each thread for itself. No code has to cooperate. The test is
// skipped where strace is not installed or may not trace; see [CIEnv].
//
// The process that the test sees is the traced one, so that [Process.Kill]
// kills it and not its tracer.
func Strace(t testing.TB, inject, role string, env ...string) *Process {
	t.Helper()
	calls, _, _ := strings.Cut(inject, ":")
	return StartProcess(t, traced(t, Command(t, role, env...),
		"-D", // the tracer is a grandchild
		"-f", "-e", "trace="+calls, "-e", "inject="+inject,
		"-qqq", "-e", "signal=none", "-o", os.DevNull, // it says nothing itself
	))
}

// traced returns what starts a command under strace with args. It skips the test
// where that cannot be.
func traced(t testing.TB, self *exec.Cmd, args ...string) *exec.Cmd {
	t.Helper()
	RequireLinux(t, "strace")
	RequireProcesses(t) // strace itself would start, and fail
	cmd := exec.Command(RequireTool(t, "strace", append(args, "true")...), append(args, self.Path)...)
	cmd.Env = self.Env
	return cmd
}

// SystemCalls is [Reexec] under strace(1), waits for the end of the process, and
// returns how many system calls of each name it has made with all its threads:
// those of the runtime too, so the caller compares two processes that differ in
// one thing. The test is skipped as that of [Strace] is.
func SystemCalls(t testing.TB, role string, env ...string) map[string]int {
	t.Helper()
	table := filepath.Join(t.TempDir(), "calls")
	cmd := traced(t, Command(t, role, env...), "-f", "-c", "-qqq", "-o", table)
	if _, err := StartProcess(t, cmd).Wait(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(table)
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]int{}
	for line := range strings.Lines(string(b)) {
		// % time, seconds, usecs/call, calls, errors if there were any, and the name
		f := strings.Fields(line)
		if len(f) < 5 || f[len(f)-1] == "total" {
			continue
		}
		if n, err := strconv.Atoi(f[3]); err == nil {
			calls[f[len(f)-1]] = n
		}
	}
	return calls
}
