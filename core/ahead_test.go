package core_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// A file that is written ahead keeps what it has when it is opened and made
// longer, by opening and by Truncate, and what is new is zero.
func TestWrittenAheadKeepsTheRest(t *testing.T) {
	want := pattern(10_001, 1)
	name := tempFile(t, want)
	f := opened(t, name, core.Options{Access: core.ReadWrite, WrittenAhead: true, Size: 50_003})
	check(t, f.Truncate(100_007))
	want = append(want, make([]byte, 100_007-len(want))...)
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, or other ones (%v)", len(got), err)
	}
}

// A file whose zeros do not reach the device has its old length.
func TestWrittenAheadFails(t *testing.T) {
	name := tempFile(t, pattern(10_001, 1))
	f := opened(t, name, core.Options{Access: core.ReadWrite, WrittenAhead: true})
	failing(t, sys.OpFsync, 0, syscall.EIO)
	if err := f.Truncate(100_007); !errors.Is(err, syscall.EIO) {
		t.Errorf("growing: %v", err)
	}
	want := int64(10_001)
	if runtime.GOOS == "windows" { // shortens no file that is mapped
		want = 100_007
	}
	if fi, err := os.Stat(name); err != nil || fi.Size() != want || f.Len() != 10_001 {
		t.Errorf("the file has %d bytes, its window %d (%v)", fi.Size(), f.Len(), err)
	}
}

func TestWrittenAheadIsRefused(t *testing.T) {
	name := filepath.Join(t.TempDir(), "absent")
	for _, o := range []core.Options{{Sparse: true}, {NoLock: true}} {
		o.Access, o.Create, o.Size, o.WrittenAhead = core.ReadWrite, true, 4096, true
		if f, err := core.OpenFile(name, o); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%+v: %v, %v", o, f, err)
		}
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file was made: %v", err)
		}
	}
	if f, err := core.NewAnonymous(4096, core.Options{WrittenAhead: true}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("anonymous: %v, %v", f, err)
	}
}
