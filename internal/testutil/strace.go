package testutil

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Strace is [Reexec] under strace(1), which makes system calls of the process and of all its threads fail,
// be late or be killed: inject is what strace takes after "-e inject=", for example
// "msync:error=EIO:when=3+". Its "when" counts in each thread for itself. The injection works on all platforms
// alike because no code has to cooperate. Needs Linux, strace, and leave to trace.
//
// The process that the test sees is the traced one, so that [Process.Kill] kills it and not its tracer.
func Strace(t testing.TB, inject, role string, env ...string) *Process {
	t.Helper()
	strace := RequireTool(t, "strace")
	Reexec(t, nothing) // skips the test where strace could not start it either
	self := command(t, role, env)
	calls, _, _ := strings.Cut(inject, ":")
	cmd := exec.Command(strace,
		"-D", // the tracer is a grandchild
		"-f", "-e", "trace="+calls, "-e", "inject="+inject,
		"-qqq", "-e", "signal=none", "-o", os.DevNull, // it says nothing itself
		self.Path)
	cmd.Env = self.Env
	return StartProcess(t, cmd)
}
