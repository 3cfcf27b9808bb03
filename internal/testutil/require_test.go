package testutil_test

import (
	"math"
	"os"
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

func TestRequire(t *testing.T) {
	noTool := func(t testing.TB) { testutil.RequireTool(t, "no-such-tool-anywhere") }
	noOption := func(t testing.TB) {
		testutil.RequireProcesses(t)
		testutil.RequireTool(t, os.Args[0], "-no-such-option")
	}
	noDevice := func(t testing.TB) { testutil.RequireDevice(t, "/no/such/device") }
	noDescriptors := func(t testing.TB) { testutil.RequireDescriptors(t, math.MaxInt) }
	for _, tt := range []struct {
		name, ci string
		require  func(t testing.TB)
		want     string
	}{
		{"a tool that is missing", "", noTool, "skip"},
		{"a tool that must not be missing", "1", noTool, "fatal"},
		{"a tool that lacks an option", "", noOption, "skip"},
		{"a device that is missing", "0", noDevice, "skip"},
		{"a device that must not be missing", "1", noDevice, "fatal"},
		{"a device", "1", func(t testing.TB) { testutil.RequireDevice(t, os.DevNull) }, ""},
		{"too few descriptors", "", noDescriptors, "skip"},
		{"enough descriptors", "1", func(t testing.TB) { testutil.RequireDescriptors(t, 1) }, ""},
		{"another file system", "1", func(t testing.TB) { testutil.RequireFileSystem(t, ".", "none") }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(testutil.CIEnv, tt.ci)
			if got := outcome(t, tt.require).outcome; got != tt.want {
				t.Errorf("the test ended with %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSeedIsRepeated(t *testing.T) {
	t.Setenv(testutil.SeedEnv, "")
	if first := testutil.Seed(t); testutil.Seed(t) == first {
		t.Errorf("two seeds are %d", first)
	}
	t.Setenv(testutil.SeedEnv, "12345678901234567890")
	if got := testutil.Seed(t); got != 12345678901234567890 {
		t.Errorf("Seed() = %d", got)
	}
	if a, b := testutil.Rand(t).Uint64(), testutil.Rand(t).Uint64(); a != b {
		t.Errorf("random numbers of one seed are %d and %d", a, b)
	}
	t.Setenv(testutil.SeedEnv, "x")
	if got := outcome(t, func(t testing.TB) { testutil.Seed(t) }).outcome; got != "fatal" {
		t.Errorf("a seed that is no number ended with %q", got)
	}
}

func TestWaitUntil(t *testing.T) {
	asked := 0
	testutil.WaitUntil(t, "it was asked ten times", func() bool { asked++; return asked == 10 })
	if asked != 10 {
		t.Errorf("asked %d times, want 10", asked)
	}
}
