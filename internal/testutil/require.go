package testutil

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// CIEnv is the environment variable that, when it is "1", makes a test fail that would be skipped because
// the machine is not set up for it.
const CIEnv = "FMMAP_CI"

// RequireRoot skips the test unless the process may do what root may; with [CIEnv] it fails the test.
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "root")
	}
}

// RequireLinux skips the test on other systems, which have no such thing as what.
func RequireLinux(t testing.TB, what string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skipf("no %s on this platform", what)
	}
}

// RequireTool returns the path of the named program. Where it is not installed the test is skipped;
// with [CIEnv] it fails.
func RequireTool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name)
	}
	return path
}

// RequireFile is RequireTool for a device or another file that must exist, /dev/fuse for one.
func RequireFile(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		missing(t, path)
	}
}

// missing ends the test, which cannot run without what.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv(CIEnv) == "1" {
		t.Fatalf("needs %s, which has to be here where %s=1", what, CIEnv)
	}
	t.Skipf("needs %s", what)
}
