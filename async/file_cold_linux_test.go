package async_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// chill takes the whole file out of memory. Its bytes must have been flushed.
func chill(t testing.TB, f *async.File) {
	t.Helper()
	c := f.Core()
	file, err := os.Open(c.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// The page cache keeps what is mapped, so that goes first.
	if err := c.Advise(core.DontNeed, 0, c.Len()); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
}
