package testutil_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

func fileLock(t *testing.T, f *os.File) *sys.FileLock {
	t.Helper()
	l, err := sys.NewFileLock(f)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Each kind of leak is seen, by its name, and is gone when it has been mended.
func TestLeaksAreSeen(t *testing.T) {
	testutil.RequireLinux(t, "list of what a process holds")
	for _, tt := range []struct {
		name string
		leak func(t *testing.T, f *os.File) (mend func() error)
		want string
	}{
		{"descriptor", func(t *testing.T, f *os.File) func() error {
			g, err := os.Open(f.Name())
			if err != nil {
				t.Fatal(err)
			}
			return g.Close
		}, "1 descriptor of "},
		{"mapping", func(t *testing.T, f *os.File) func() error {
			m, err := sys.Map(f, sys.MapOptions{Len: 4096})
			if err != nil {
				t.Fatal(err)
			}
			return m.Unmap
		}, "1 mapping of "},
		{"lock of a file", func(t *testing.T, f *os.File) func() error {
			l := fileLock(t, f)
			if err := l.Set(sys.LockExclusive); err != nil {
				t.Fatal(err)
			}
			return func() error { return l.Set(sys.Unlocked) }
		}, "(FLOCK WRITE)"},
		{"lock of a range", func(t *testing.T, f *os.File) func() error {
			l := fileLock(t, f)
			if err := l.SetRange(0, 9, sys.LockShared); err != nil {
				t.Fatal(err)
			}
			return func() error { return l.SetRange(0, 9, sys.Unlocked) }
		}, "(OFDLCK READ)"},
		{"pipe", func(t *testing.T, _ *os.File) func() error {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			return func() error { r.Close(); return w.Close() }
		}, "2 descriptor of pipe"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := os.Create(filepath.Join(t.TempDir(), "file"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := f.Truncate(4096); err != nil {
				t.Fatal(err)
			}
			before, err := testutil.Held()
			if err != nil {
				t.Fatal(err)
			}
			mend := tt.leak(t, f)
			leaked := testutil.Leaks(before, 0)
			if len(leaked) != 1 || !strings.Contains(leaked[0], tt.want) {
				t.Errorf("Leaks() = %q, want one of %q", leaked, tt.want)
			}
			if err := mend(); err != nil {
				t.Fatal(err)
			}
			if leaked := testutil.Leaks(before, 0); len(leaked) != 0 {
				t.Errorf("Leaks() = %q when all is mended", leaked)
			}
		})
	}
}

func TestNoLeaksLooksLast(t *testing.T) {
	testutil.RequireLinux(t, "list of what a process holds")
	var f *os.File
	open := func(t testing.TB) {
		testutil.NoLeaks(t)
		var err error
		if f, err = os.Open("/dev/zero"); err != nil {
			t.Fatal(err)
		}
	}
	mended := outcome(t, func(t testing.TB) {
		open(t)
		t.Cleanup(func() { f.Close() })
	})
	if mended.errors != 0 {
		t.Error("what a later cleanup closes is called a leak")
	}
	leaking := outcome(t, open)
	defer f.Close()
	if leaking.errors != 1 {
		t.Errorf("%d errors for one leak", leaking.errors)
	}
}
