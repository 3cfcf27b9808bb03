package core_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys/systest"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// A block device reports its size, and what is stored and flushed is in the
// image behind it.
func TestMapOfABlockDevice(t *testing.T) {
	testutil.RequireLoop(t)
	const size = 1 << 20
	image := filepath.Join(t.TempDir(), "image")
	check(t, os.WriteFile(image, pattern(size, 1), 0o600))
	device, err := systest.AttachLoop(image)
	check(t, err)
	defer device.Close()
	for _, o := range []core.Options{
		{Access: core.ReadWrite, Size: 2 * size},
		{Access: core.ReadWrite, Truncate: true},
	} {
		if _, err := core.Map(device, o); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	f, err := core.Map(device, core.Options{Access: core.ReadWrite})
	check(t, err)
	defer f.Close()
	if f.Len() != size {
		t.Fatalf("%d bytes, want %d", f.Len(), size)
	}
	check(t, f.View(func(b []byte) error {
		if !bytes.Equal(b, pattern(size, 1)) {
			t.Error("the device is not its image")
		}
		return nil
	}))
	check(t, core.Put[uint64](f, size-8, binary.LittleEndian, 7))
	check(t, f.FlushRange(size-8, 8))
	if err := f.Truncate(size / 2); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("truncate: %v", err)
	}
	check(t, f.Close())
	got, err := os.ReadFile(image)
	check(t, err)
	if v := binary.LittleEndian.Uint64(got[size-8:]); v != 7 {
		t.Errorf("the image has %d", v)
	}

	window, err := core.Map(device, core.Options{Offset: 4096, Length: 100})
	check(t, err)
	defer window.Close()
	check(t, window.View(func(b []byte) error {
		if !bytes.Equal(b, pattern(size, 1)[4096:4196]) {
			t.Error("the window shows other bytes")
		}
		return nil
	}))
}

// A file of huge pages is mapped where the system has reserved some. Where none
// is left, Map returns an error, so that no store faults.
func TestMapOnHugetlbfs(t *testing.T) {
	testutil.RequireMounts(t)
	const page = 2 << 20
	dir := t.TempDir()
	err := systest.Mount("hugetlbfs", dir, "hugetlbfs", "pagesize=2M")
	if errors.Is(err, systest.ErrNoSuchType) {
		t.Skip("the kernel does not know hugetlbfs")
	}
	check(t, err)
	defer func() { check(t, testutil.Unmount(dir)) }()
	file, err := os.OpenFile(filepath.Join(dir, "file"), os.O_RDWR|os.O_CREATE, 0o600)
	check(t, err)
	defer file.Close()
	check(t, file.Truncate(page))
	f, err := core.Map(file, core.Options{Access: core.ReadWrite})
	if noHugePages(t) {
		if err == nil {
			check(t, f.Close())
			t.Error("mapped, without a huge page that is free")
		}
		return
	}
	check(t, err)
	defer f.Close()
	check(t, core.Put[uint64](f, page-8, binary.LittleEndian, 7))
	if v, err := core.Get[uint64](f, page-8, binary.LittleEndian); v != 7 || err != nil {
		t.Errorf("got %d, %v", v, err)
	}
	check(t, f.Close())
}

// noHugePages reports whether the system has no huge page at all, so that none
// can become free during a test.
func noHugePages(t *testing.T) bool {
	info, err := os.ReadFile("/proc/meminfo")
	check(t, err)
	for line := range strings.Lines(string(info)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "HugePages_Total:" {
			return f[1] == "0"
		}
	}
	return true
}
