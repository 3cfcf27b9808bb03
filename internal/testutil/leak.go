package testutil

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fmmap-go/fmmap/internal/sys/sandbox"
)

// Holdings are what this process holds of the system's goods, each counted by a
// name that a person understands: descriptors by what they are open on, kernel
// mappings by their file, locks by their kind and file. They are empty where
// the platform does not tell.
type Holdings struct {
	Descriptors, Mappings, Locks map[string]int
}

// NoLeaks fails the test when, at its end, the process holds more descriptors,
// mappings of files or locks than at the time of this call. It is called first
// in a test, so that it looks last, after the other cleanups; and it looks
// again for a while, for what a finalizer or another process has still to let
// go. Goroutines are not its business: [VerifyMain] sees to them.
func NoLeaks(t testing.TB) {
	t.Helper()
	before, err := Held()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if leaked := Leaks(before, leakPatience); len(leaked) > 0 {
			t.Errorf("left behind:\n%s", strings.Join(leaked, "\n"))
		}
	})
}

// Sandboxed reports whether the tests run in a sandbox that refuses system
// calls, see package sandbox.
func Sandboxed() bool { return os.Getenv(sandbox.Env) != "" }

// VerifyMain is [goleak.VerifyTestMain] that knows which goroutines the runtime
// itself starts: in a browser's machine (js) the one that hands events over. It
// enters the sandbox that the environment asks for before the tests run.
func VerifyMain(m goleak.TestingM, options ...goleak.Option) {
	if err := sandbox.Enter(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, append(options, goleak.IgnoreAnyFunction("runtime.handleEvent"))...)
}

// leakPatience is how long NoLeaks looks again.
const leakPatience = 5 * time.Second

// Leaks returns a line for everything of which the process holds more than
// before, looking again until there is nothing or the time is over.
func Leaks(before Holdings, limit time.Duration) (leaked []string) {
	poll(limit, func() bool {
		now, err := Held()
		if err != nil {
			leaked = []string{err.Error()}
			return false
		}
		leaked = append(append(
			more("descriptor", before.Descriptors, now.Descriptors),
			more("mapping", before.Mappings, now.Mappings)...),
			more("lock", before.Locks, now.Locks)...)
		return len(leaked) == 0
	})
	return leaked
}

// more describes what there is more of now than before.
func more(what string, before, now map[string]int) (lines []string) {
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if n := now[name] - before[name]; n > 0 {
			lines = append(lines, fmt.Sprintf("%d %s of %s", n, what, name))
		}
	}
	return lines
}
