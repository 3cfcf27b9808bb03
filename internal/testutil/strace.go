package testutil

import (
	"os"
	"os/exec"
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
	RequireLinux(t, "strace")
	Reexec(t, nothing) // skips the test where strace could not start it either
	self := Command(t, role, env...)
	calls, _, _ := strings.Cut(inject, ":")
	args := []string{
		"-D", // the tracer is a grandchild
		"-f", "-e", "trace=" + calls, "-e", "inject=" + inject,
		"-qqq", "-e", "signal=none", "-o", os.DevNull, // it says nothing itself
	}
	strace := RequireTool(t, "strace", append(args, "true")...)
	cmd := exec.Command(strace, append(args, self.Path)...)
	cmd.Env = self.Env
	return StartProcess(t, cmd)
}
