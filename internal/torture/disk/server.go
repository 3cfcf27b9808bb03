package disk

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

// The environment by which a program starts itself as a server: the shared
// directory, the length of the queue, and "1" for a log.
const (
	dirEnv   = "FMMAP_DISK_DIR"
	queueEnv = "FMMAP_DISK_QUEUE"
	logEnv   = "FMMAP_DISK_LOG"
)

// Main must be called first in the main function or TestMain of a program that
// makes disks. It restarts the program in a mount namespace of its own
// ([testutil.PrivateMounts]), and does not return in the processes that the
// program starts as servers of its disks.
func Main() {
	testutil.PrivateMounts()
	dir := os.Getenv(dirEnv)
	if dir == "" {
		return
	}
	queue, err := strconv.Atoi(os.Getenv(queueEnv))
	if err == nil {
		err = serve(dir, queue, os.Getenv(logEnv) == "1")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "disk:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve carries out commands from the standard input until that or the program
// ends, in whatever way; then it removes what it has set up.
func serve(dir string, queue int, logging bool) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP) // they are for the program
	s, err := openStore(dir, logging)
	if err != nil {
		return err
	}
	at := filepath.Join(dir, fuseName)
	server, err := mountFUSE(at, s, queue)
	if err != nil {
		return err
	}
	over := make(chan error, 2)
	go func() { over <- s.respond(bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)) }() // ends with the process
	go func() { over <- outlive(os.Getppid()) }()                                             // the same
	err = <-over
	s.open()
	return errors.Join(err, unmountLeft(dir), unmountFUSE(server, at), removeAll(dir))
}

// outlive returns when the parent has ended. That its end of the pipe is closed
// is no sure sign: a process that is killed while one of its threads waits for
// this disk keeps its files open until it has the result.
func outlive(parent int) error {
	for ; ; time.Sleep(200 * time.Millisecond) {
		if os.Getppid() != parent || doomed(parent) {
			return nil
		}
	}
}

// doomed reports whether the process is gone or going: a SIGKILL waits for its
// first thread, as it does whenever a process ends, or that thread is no more
// [proc_pid_status(5)].
func doomed(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(b)) {
		switch key, value, _ := strings.Cut(line, ":"); key {
		case "State":
			if strings.HasPrefix(strings.TrimSpace(value), "Z") {
				return true
			}
		case "SigPnd", "ShdPnd":
			mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			if err == nil && mask&(1<<(syscall.SIGKILL-1)) != 0 {
				return true
			}
		}
	}
	return false
}

// respond reports that the disk is there and carries out commands.
func (s *store) respond(in *bufio.Scanner, out *json.Encoder) error {
	if err := out.Encode(response{}); err != nil {
		return err
	}
	for in.Scan() {
		var c command
		var a response
		err := json.Unmarshal(in.Bytes(), &c)
		if err == nil {
			a, err = s.do(c)
		}
		if err != nil {
			a.Err = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
	return in.Err()
}

func (s *store) do(c command) (a response, err error) {
	switch c.Do {
	case doFail:
		s.fail(c.Fault)
	case doHeal:
		s.heal()
	case doDelay:
		s.delay(c.Op, c.Delay)
	case doHold:
		if c.On && c.Delay > 0 {
			s.holdFor(c.Op, c.Delay)
		} else {
			s.hold(c.Op, c.On)
		}
	case doLie:
		s.setLie(c.On)
	case doReset:
		err = s.reset()
	case doStats:
		a.Stats = s.snapshot()
	default:
		err = fmt.Errorf("unknown command %q", c.Do)
	}
	return a, err
}

// patience is how long the server waits for the last user of its files.
const patience = 30 * time.Second

// unmountLeft unmounts what the program has mounted below the directory and has
// not lived to unmount: this process is in the same mount namespace.
func unmountLeft(dir string) (err error) {
	for _, pattern := range []string{filepath.Join(dir, cutterName+"*", mntName), filepath.Join(dir, mntName)} {
		all, _ := filepath.Glob(pattern) // the pattern is well-formed
		for _, at := range all {
			if e := testutil.Unmount(at); !errors.Is(e, unix.EINVAL) { // it is not mounted
				err = errors.Join(err, e)
			}
		}
	}
	return err
}

// unmountFUSE waits for the users of the files, a loop device first of all, and
// is then forceful.
func unmountFUSE(server *fuse.Server, dir string) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Unmount(dir, 0)
		if err == nil {
			server.Wait()
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return errors.Join(os.NewSyscallError("umount", err), unix.Unmount(dir, unix.MNT_DETACH|unix.MNT_FORCE))
		}
	}
}

// removeAll removes the shared directory. A thread of a program that was killed
// may still be mounting something there, until its system call ends.
func removeAll(dir string) (err error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err = errors.Join(unmountLeft(dir), os.RemoveAll(dir))
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
