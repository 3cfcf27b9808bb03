package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"time"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/lock"
)

var lockCommand = command{
	name: "lock", args: "[-x|-s] [-n|-w TIMEOUT] FILE -- COMMAND [ARGUMENT]...",
	brief:  "run a command while holding the lock of a file",
	noJSON: true,
	help: `Acquires the lock of the file, which is created if it is missing, runs the
command, and releases the lock when it ends. The lock is the one that package
lock and flock(1) use. The exit status is the command's, 128 and the signal's
number if a signal ended it, 126 if it cannot be run, 127 if it is not found, and
1 if the lock was not acquired in time, or with -n at once. -w 0 has no limit,
unlike that of flock(1). The command does not inherit the lock: it ends with
fmmap.`,
	run: runLock,
}

func runLock(ctx context.Context, c *call) int {
	exclusive := c.Bool("x", false, "acquire the lock exclusively (the default)")
	shared := c.Bool("s", false, "acquire the lock shared")
	atOnce := c.Bool("n", false, "fail at once if the lock is held elsewhere")
	timeout := c.Duration("w", 0, "how long to wait for the lock; 0 means no limit")
	if code, ok := c.parse(2, -1); !ok {
		return code
	}
	argv := c.Args()[1:]
	if argv[0] == "--" {
		argv = argv[1:]
	}
	if len(argv) == 0 || *exclusive && *shared || *atOnce && *timeout != 0 || *timeout < 0 {
		return c.usage("a command, at most one of -x and -s, at most one of -n and -w, and no negative timeout are needed")
	}
	mode := lock.Exclusive
	if *shared {
		mode = lock.Shared
	}
	f, err := os.OpenFile(c.Arg(0), os.O_RDWR|os.O_CREATE, 0o666)
	if errors.Is(err, fs.ErrPermission) {
		f, err = os.Open(c.Arg(0))
	}
	if err != nil {
		return c.fail(err)
	}
	defer f.Close()
	l := lock.New(f)
	if *atOnce {
		err = l.Try(mode)
	} else {
		err = acquire(ctx, l, mode, *timeout)
	}
	if err != nil {
		return c.fail(err)
	}
	code := c.command(argv)
	if err := l.Release(); err != nil && code == exitOK {
		return c.fail(err)
	}
	return code
}

// acquire waits for the lock as long as timeout, or without a limit if that is 0.
func acquire(ctx context.Context, l *lock.Lock, mode lock.Mode, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not acquired within %v", timeout))
		defer cancel()
	}
	return l.Acquire(ctx, mode)
}

// command runs a command to its end. A signal from the terminal reaches it by
// itself, so an interrupt does not end the wait.
func (c *call) command(argv []string) int {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.in, c.stdout, c.stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return sys.ExitStatus(exit.ProcessState)
	}
	c.fail(err)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return 127
	}
	return 126
}
