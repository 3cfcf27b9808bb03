package core_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/sys/sandbox"
	"github.com/fmmap-go/fmmap/lock"
)

// What a sandbox refuses is asked for once, and once more to see that the
// refusal is of the process and not of one file. (Where nothing is refused this
// shows that all that may be refused goes on working.)
func TestRefusalsAreLearntOnce(t *testing.T) {
	needsFiles(t)
	count, restore := sys.CountCalls()
	t.Cleanup(restore)
	const rounds = 5
	dir := t.TempDir()
	for range rounds {
		useOptionalCalls(t, filepath.Join(dir, "file"))
	}
	for _, c := range sys.Calls() {
		switch {
		case c.Missing() && count(c) > 2:
			t.Errorf("%v is missing, and was called %d times in %d rounds", c, count(c), rounds)
		case !c.Missing() && sandbox.Refuses(c.String()) && count(c) > 0:
			t.Errorf("%v is refused, and that was not learnt by %d calls", c, count(c))
		}
	}
}

// useOptionalCalls leads a file through all that the library can do without.
func useOptionalCalls(t *testing.T, name string) {
	t.Helper()
	const size = 256 * KiB
	check(t, os.WriteFile(name, pattern(10, 1), 0o600))
	check(t, os.Truncate(name, size)) // holes, for OpenFile to fill
	f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite})
	check(t, err)
	defer f.Close()
	check(t, f.Truncate(2*size))
	check(t, f.Populate(0, size))
	unlessMissing := func(err error) {
		t.Helper()
		if !missingHere(err) {
			check(t, err)
		}
	}
	for range 2 { // the first may be that of a mapping, the second of the process
		_, _, err = f.Resident(0, 64*KiB)
		unlessMissing(err)
	}
	unlessMissing(f.StartWriteback(0, size))
	unlessMissing(f.PunchHole(4*KiB, 16*KiB))
	check(t, f.CopyTo(name+".copy", 0, size))
	for a := core.AdviceNormal; a <= core.AdvicePopulateWrite; a++ {
		_ = f.Advise(a, 0, size) // some does not fit a file, and some a file system
	}
	m, err := core.NewAnonymous(size, core.Options{HugePages: true})
	check(t, err)
	_ = m.Advise(core.AdviceFree, 0, size)
	check(t, m.Truncate(4*KiB))
	check(t, m.Close())
	lf, err := os.OpenFile(name, os.O_RDWR, 0)
	check(t, err)
	defer lf.Close()
	l := lock.New(lf).Range(0, 10)
	err = l.Try(lock.Exclusive)
	unlessMissing(err)
	if err == nil {
		check(t, l.Release())
	}
}
