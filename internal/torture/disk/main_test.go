package disk_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

func TestMain(m *testing.M) {
	disk.Main()
	testutil.RunRole(map[string]func() error{"disk": mountAndWait})
	goleak.VerifyTestMain(m)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must is for calls of which the test needs the value.
func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		check(t, err)
		return v
	}
}

// open opens the disk as one file.
func open(t testing.TB, d *disk.Disk) *os.File {
	t.Helper()
	f := must[*os.File](t)(os.OpenFile(d.File(), os.O_RDWR, 0))
	t.Cleanup(func() { f.Close() })
	return f
}

// fill returns n bytes of the letter.
func fill(letter byte, n int) []byte { return bytes.Repeat([]byte{letter}, n) }

// write writes at off as one request: a file that is opened for it alone syncs
// nothing else.
func write(t testing.TB, f *os.File, b []byte, off int64) {
	t.Helper()
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

// mountAndWait is a program that makes a disk with a file system, and waits to
// be killed.
func mountAndWait() error {
	d, err := disk.New(disk.Options{Size: 16 * mib})
	if err != nil {
		return err
	}
	dir, err := d.Mount("ext4")
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		return err
	}
	if _, err := f.WriteString("never synced"); err != nil {
		return err
	}
	if os.Getenv("DISK_TEST_HELD") != "" {
		if err := syncHeld(d, f); err != nil {
			return err
		}
	}
	c, err := d.NewCutter()
	if err != nil {
		return err
	}
	return c.Check(c.Len(), 1, "ext4", func(string) error {
		testutil.Say("%s", d.Dir())
		testutil.Hear()
		return errors.New("it was not killed")
	})
}

// syncHeld leaves a goroutine waiting for a flush that is held.
func syncHeld(d *disk.Disk, f *os.File) error {
	if err := d.Hold(disk.Flush, true); err != nil {
		return err
	}
	go f.Sync() // ends with the process
	for {
		if s, err := d.Stats(); err != nil || s.Held > 0 {
			return err
		}
	}
}
