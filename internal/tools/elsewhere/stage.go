package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// stageArg is the first argument of a process that is to limit itself and to
// become a test.
const stageArg = "-stage"

// stageOptions are the limits of a test's process; zero values are none.
type stageOptions struct {
	descriptors  int
	addressSpace int64
	drop         string
	uid          int
}

// args returns the arguments of a process that becomes the command within the
// limits.
func (o stageOptions) args(command ...string) []string {
	return append([]string{
		stageArg, strconv.Itoa(o.descriptors), strconv.FormatInt(o.addressSpace, 10), o.drop, strconv.Itoa(o.uid),
	}, command...)
}

// stage limits this process and executes the command, and returns only when
// that fails.
func stage(args []string) error {
	descriptors, err1 := strconv.ParseUint(args[0], 10, 64)
	space, err2 := strconv.ParseUint(args[1], 10, 64)
	uid, err3 := strconv.Atoi(args[3])
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	runtime.LockOSThread() // what the thread is limited to, the process it executes is
	for resource, to := range map[int]uint64{unix.RLIMIT_NOFILE: descriptors, unix.RLIMIT_AS: space} {
		if to == 0 {
			continue
		}
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: to, Max: to}); err != nil {
			return fmt.Errorf("setrlimit: %w", err)
		}
	}
	// What is dropped from the bounding set cannot be gained by executing.
	for c := range uintptr(unix.CAP_LAST_CAP + 1) {
		if os.Geteuid() == 0 && dropped(args[2], c) {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("prctl: %w", err)
			}
		}
	}
	if uid != 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(uid), syscall.Setuid(uid)); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: %w", args[4], syscall.Exec(args[4], args[4:], os.Environ()))
}

// dropped reports whether the capability is among those of the name.
func dropped(name string, c uintptr) bool {
	switch name {
	case allCaps:
		return true
	case capResource:
		return c == unix.CAP_SYS_RESOURCE
	case capsOfContainer:
		return !slices.Contains([]uintptr{
			unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_KILL, unix.CAP_SETGID,
			unix.CAP_SETUID, unix.CAP_SETPCAP, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_CHROOT, unix.CAP_MKNOD,
			unix.CAP_AUDIT_WRITE, unix.CAP_SETFCAP,
		}, c)
	}
	return false
}
