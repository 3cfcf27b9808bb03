package testutil

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// roleEnv is the environment variable with the role of a second process.
const roleEnv = "FMMAP_TEST_ROLE"

// nothing is the role that does nothing.
const nothing = "nothing"

// Role is the role that [Reexec] gave to this process, and empty in one that
// runs tests.
func Role() string { return os.Getenv(roleEnv) }

// RunRole is the first call of a TestMain whose tests use [Reexec]. In a
// process that runs tests it returns. In a second process it calls the function
// that roles has for it and exits: with 0 when that returns nil, with 1 after
// writing the error to the standard error. A role should end when [Hear] returns false.
func RunRole(roles map[string]func() error) {
	name := Role()
	if name == "" {
		return
	}
	if name == nothing {
		os.Exit(0)
	}
	do, ok := roles[name]
	err := fmt.Errorf("there is no role %q, but %q", name, slices.Sorted(maps.Keys(roles)))
	if ok {
		err = do()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Say writes a line to the process that started this one, for its
// [Process.Hear].
func Say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// heard reads the standard input of a process with a role. It is made on first
// use.
var heard = sync.OnceValue(func() *bufio.Reader { return bufio.NewReader(os.Stdin) })

// Hear returns the next line that the process that started this one has written
// with [Process.Say]. It returns false when there will be none: that process is
// gone, or has called [Process.Wait].
func Hear() (string, bool) {
	line, err := heard().ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err == nil
}

// A Process is another process, with which a test exchanges lines. Its methods
// are for one goroutine, except Kill and Pid, which any may call.
type Process struct {
	t      testing.TB
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer // read only after done
	wait   func() error // once: the outcome of cmd.Wait
}

// Reexec starts a second process of the test binary, which does what the roles
// given to [RunRole] have for this one, with env ("NAME=value") added to the
// environment. It is killed when the test ends. The test is skipped on
// platforms that cannot start it.
func Reexec(t testing.TB, role string, env ...string) *Process {
	t.Helper()
	return StartProcess(t, Command(t, role, env...))
}

// Command returns what starts the test binary in the role, for [StartProcess].
func Command(t testing.TB, role string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Skipf("no second process here: %v", err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), roleEnv+"="+role, RaceEnv()), env...)
	return cmd
}

// RaceEnv is what the environment of a program built with the race detector
// needs so that it does not wait a second before it exits.
func RaceEnv() string { return strings.TrimSpace("GORACE=atexit_sleep_ms=0 " + os.Getenv("GORACE")) }

// StartProcess starts a command that the test has made, as [Reexec] does with
// the test binary. Its standard input, output and error must be unset.
func StartProcess(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, cmd: cmd}
	p.wait = sync.OnceValue(cmd.Wait)
	cmd.WaitDelay = patience // a child that it has left may keep its standard error open
	cmd.Stderr = &p.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		if cannotStart(err) {
			t.Skipf("no second process here: %v", err)
		}
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() && p.stderr.Len() > 0 {
			t.Logf("the second process wrote:\n%s", p.stderr.Bytes())
		}
	})
	return p
}

// RequireProcesses skips a test that starts further processes of the test
// binary by itself where the platform cannot.
func RequireProcesses(t testing.TB) {
	t.Helper()
	cmd := Command(t, nothing)
	cmd.Args = append(cmd.Args, "-test.run=^$")
	if err := cmd.Run(); err != nil && cannotStart(err) {
		t.Skipf("no second process here: %v", err)
	}
}

// cannotStart reports whether the platform starts no processes at all, or none of
// this processor (as under qemu's user mode).
func cannotStart(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || strings.Contains(err.Error(), "exec format error")
}

// Pid returns the number of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Say writes a line to the process. It does nothing if the process has ended.
func (p *Process) Say(format string, args ...any) { fmt.Fprintf(p.in, format+"\n", args...) }

// Hear waits for the next line that the process writes to its standard output,
// and fails the test when it ends instead.
func (p *Process) Hear() string {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.Kill()
		p.t.Fatalf("the second process ended with %q (%v, %v):\n%s", line, err, p.cmd.ProcessState, p.stderr.Bytes())
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
}

// Wait closes the standard input of the process, waits for its end, and returns
// the rest of its standard output. The error is nil if it exited with 0, and
// otherwise has what it wrote to its standard error.
func (p *Process) Wait() (rest string, err error) {
	p.in.Close()
	b, _ := io.ReadAll(p.out)
	if err = p.wait(); err != nil {
		err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(p.stderr.Bytes()))
	}
	return string(b), err
}

// Kill ends the process on the spot (SIGKILL), and returns when it is gone. One
// that has ended is left alone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // fails when it has ended
	_ = p.wait()
}
