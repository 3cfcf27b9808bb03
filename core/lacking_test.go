package core_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// lacking are the newer calls that older kernels, sandboxes and file systems do
// not have, one by one and all together.
var lacking = [][]sys.Call{
	nil, {sys.CallPopulate}, {sys.CallCopyFileRange}, {sys.CallFiclone}, {sys.CallOFD}, {sys.CallSyncFileRange}, {sys.CallFallocate}, {sys.CallReserve},
	{sys.CallPopulate, sys.CallCopyFileRange, sys.CallFiclone, sys.CallOFD, sys.CallSyncFileRange, sys.CallFallocate, sys.CallReserve, sys.CallStatx},
}

// What a system lacks costs time, not bytes: a file lives the same life without
// it.
func TestLivesWithoutNewerCalls(t *testing.T) {
	for _, features := range lacking {
		t.Run(fmt.Sprintf("without %v", features), func(t *testing.T) {
			needsFiles(t)
			for _, feature := range features {
				t.Cleanup(sys.Disable(feature))
			}
			want := pattern(MiB, 3)
			name := filepath.Join(t.TempDir(), "file")
			f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true, Size: 256 * KiB, Populate: true})
			check(t, err)
			t.Cleanup(func() { _ = f.Close() })
			_, err = f.WriteAt(want[:256*KiB], 0)
			check(t, err)

			p := pinned(t, f, 0, 100)
			check(t, f.Truncate(MiB)) // under a pin, whose bytes stay
			if !bytes.Equal(p.Bytes(), want[:100]) {
				t.Error("the pinned bytes have changed")
			}
			p.Release()
			check(t, f.Populate(0, MiB))
			_, err = f.WriteAt(want[256*KiB:], 256*KiB)
			check(t, err)
			if err := f.StartWriteback(0, MiB); err != nil && !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("StartWriteback: %v", err)
			}
			check(t, f.FlushRange(4096, 100))
			check(t, f.Flush())

			to := name + ".copy"
			check(t, f.CopyTo(to, 4096, MiB-4096))
			if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, want[4096:]) {
				t.Errorf("the copy differs, %v", err)
			}
			check(t, f.Zero(8192, 70_000))
			clear(want[8192:78_192])
			check(t, f.Truncate(512*KiB))
			check(t, f.Close())
			if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want[:512*KiB]) {
				t.Errorf("the file differs, %v", err)
			}
		})
	}
}

// Offsets are those of files, wherever memory is addressed by 32 bits: a window
// far inside a file is like any other, and more than there are addresses for is
// out of range.
func TestFilesLongerThanTheAddressSpace(t *testing.T) {
	needsFiles(t)
	const far = 4*1024*MiB + 12_345
	name := filepath.Join(t.TempDir(), "long")
	out, err := os.Create(name)
	check(t, err)
	defer out.Close()
	if err := out.Truncate(far + MiB); err != nil {
		t.Skipf("no file of 4 GiB here: %v", err)
	}
	_, err = out.WriteAt([]byte("far away"), far)
	check(t, err)

	if strconv.IntSize == 32 {
		for what, o := range map[string]core.Options{
			"the whole file": {},
			"a long window":  {Offset: 1, Length: 1 << 32},
		} {
			if f, err := core.OpenFile(name, o); !errors.Is(err, core.ErrRange) {
				t.Errorf("%s: %v, %v, want ErrRange", what, f, err)
			}
		}
		if f, err := core.NewAnonymous(1<<32, core.Options{}); !errors.Is(err, core.ErrRange) {
			t.Errorf("anonymous memory: %v, %v, want ErrRange", f, err)
		}
		if err := core.NewMemory("m", nil).Truncate(1 << 32); !errors.Is(err, core.ErrRange) {
			t.Errorf("growing memory: %v, want ErrRange", err)
		}
	}
	t.Run("window", func(t *testing.T) { farWindow(t, name, out, far) })
}

// farWindow reads and writes a window of the file of that name, which is open
// as out.
func farWindow(t *testing.T, name string, out *os.File, far int64) {
	var b [8]byte
	f := opened(t, name, core.Options{Access: core.ReadWrite, Offset: far, Length: 64 * KiB, Sparse: true})
	if _, err := f.ReadAt(b[:], 0); err != nil || string(b[:]) != "far away" {
		t.Errorf("read %q, %v", b[:], err)
	}
	_, err := f.WriteAt([]byte("FAR"), 0)
	check(t, err)
	check(t, f.Flush())
	check(t, f.Close())
	if _, err := out.ReadAt(b[:], far); err != nil && err != io.EOF || string(b[:]) != "FAR away" {
		t.Errorf("the file has %q, %v", b[:], err)
	}
}
