package core_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

func TestMain(m *testing.M) {
	testutil.PrivateMounts()
	testutil.RunRole(map[string]func() error{
		"count": countElsewhere, "cramped": growCramped, "add": addInChild,
		"opening": openOften, "lock": lockElsewhere, "abandon": abandon,
	})
	if flag.Parse(); testing.Short() {
		core.SetMinReserve(64 * MiB)
	}
	testutil.VerifyMain(m)
}

// KiB and MiB keep sizes readable.
const (
	KiB = 1 << 10
	MiB = 1 << 20
)

// tempFile is a file of the test's own with these contents, to be mapped.
func tempFile(t testing.TB, b []byte) string {
	t.Helper()
	needsFiles(t)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// opened opens the file and closes it with the test, unless the test did.
func opened(t testing.TB, name string, o core.Options) *core.File {
	t.Helper()
	needsFiles(t)
	f, err := core.OpenFile(name, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func pinned(t testing.TB, f *core.File, off, n int64) *core.Pin {
	t.Helper()
	p, err := f.Pin(off, n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Release)
	return p
}

// pattern is n bytes that tell their offset and the seed.
func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16) ^ seed
	}
	return b
}

// contents is what the window holds.
func contents(t testing.TB, f *core.File) (b []byte) {
	t.Helper()
	check(t, f.View(func(v []byte) error { b = append([]byte{}, v...); return nil }))
	return b
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
