package testutil

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/internal/sys/systest"
)

// CIEnv is the environment variable that, when it is "1", makes a test fail
// that would be skipped because the machine is not set up for it.
const CIEnv = "FMMAP_CI"

// A Capability is one part of what root may do, by its number in the kernel
// [capabilities(7)].
type Capability int

// The capabilities that tests need.
const (
	CapChown       Capability = 0
	CapDACOverride Capability = 1
	CapSetgid      Capability = 6
	CapSetuid      Capability = 7
	CapIPCLock     Capability = 14
	CapSysPtrace   Capability = 19
	CapSysAdmin    Capability = 21
	CapSysResource Capability = 24
)

var capabilityNames = map[Capability]string{
	CapChown:       "CAP_CHOWN",
	CapDACOverride: "CAP_DAC_OVERRIDE",
	CapSetgid:      "CAP_SETGID",
	CapSetuid:      "CAP_SETUID",
	CapIPCLock:     "CAP_IPC_LOCK",
	CapSysPtrace:   "CAP_SYS_PTRACE",
	CapSysAdmin:    "CAP_SYS_ADMIN",
	CapSysResource: "CAP_SYS_RESOURCE",
}

func (c Capability) String() string { return capabilityNames[c] }

// HasCapability reports whether the process has the capability, in effect, in
// its user namespace. Where there are no capabilities, root has them all.
func HasCapability(c Capability) bool {
	if runtime.GOOS != "linux" {
		return os.Geteuid() == 0
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if mask, ok := strings.CutPrefix(line, "CapEff:"); ok {
			bits, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return err == nil && bits>>c&1 == 1
		}
	}
	return false
}

// RequireCapability skips the test of a process that lacks one of the
// capabilities; see [CIEnv].
func RequireCapability(t testing.TB, all ...Capability) {
	t.Helper()
	for _, c := range all {
		if !HasCapability(c) {
			missing(t, c.String())
		}
	}
}

// RequireLinux skips the test on other systems, which do not have what.
func RequireLinux(t testing.TB, what string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skipf("no %s on this platform", what)
	}
}

// RequireTool returns the path of the named program. The test is skipped where
// the program is not installed or, when there are arguments, fails with them:
// a small machine may have a program of the name without the options that the
// test uses. See [CIEnv].
func RequireTool(t testing.TB, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name)
	}
	if len(args) == 0 {
		return path
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		missing(t, fmt.Sprintf("%s that does %q (%v: %s)", name, args, err, first))
	}
	return path
}

// RequireDevice skips the test unless the device can be opened, as /dev/fuse
// can be by the user of a machine and not in most containers; see [CIEnv].
func RequireDevice(t testing.TB, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		missing(t, err.Error())
		return
	}
	f.Close()
}

// RequireFileSystem skips the test when the file or directory at path is on a
// file system of one of the types, which cannot do what the test needs. The
// usual path is one below the temporary directory. See [CIEnv].
func RequireFileSystem(t testing.TB, path string, except ...string) {
	t.Helper()
	kind, err := systest.FileSystem(path)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(except, kind) {
		missing(t, "a file system other than "+kind+" below the temporary directory")
	}
}

// RequireDescriptors skips the test where the process may not have n files
// open; see [CIEnv].
func RequireDescriptors(t testing.TB, n int) {
	t.Helper()
	have, err := systest.Descriptors()
	if err != nil {
		t.Fatal(err)
	}
	if have < n {
		missing(t, fmt.Sprintf("%d descriptors (RLIMIT_NOFILE is %d)", n, have))
	}
}

// RequireAddressSpace skips the test where the process may not use so many bytes
// of address space; see [CIEnv].
func RequireAddressSpace(t testing.TB, bytes uint64) {
	t.Helper()
	have, err := systest.AddressSpace()
	if err != nil {
		t.Fatal(err)
	}
	if have < bytes {
		missing(t, fmt.Sprintf("%d MiB of address space (RLIMIT_AS is %d MiB)", bytes>>20, have>>20))
	}
}

// LimitAddressSpace limits how much address space this process may use, in
// bytes. It is for a second process ([Reexec]), which ends with its limit.
func LimitAddressSpace(bytes uint64) error { return systest.LimitAddressSpace(bytes) }

// missing ends the test, which cannot run without what.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv(CIEnv) == "1" {
		t.Fatalf("needs %s, which must be here where %s=1", what, CIEnv)
	}
	t.Skipf("needs %s", what)
}
