package disk_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

// pages is how many pages of a file the writer goes round in.
const pages = 16

// An ack is a store that was acknowledged: from the moment on, the page holds
// at least the count.
type ack struct {
	moment      int64 // of the log
	page, count int
}

// written runs a writer of plain system calls on a file of a disk, without
// anything of the library: it writes counts to pages and acknowledges each
// after sync.
func written(t *testing.T, d *disk.Disk, name string, n int, sync func(f *os.File) error) (acks []ack) {
	t.Helper()
	position := must[*disk.Position](t)(disk.OpenPosition(d.Dir()))
	defer position.Close()
	f := must[*os.File](t)(os.Create(name))
	defer f.Close()
	write(t, f, make([]byte, pages*4*kib), 0)
	check(t, f.Sync())
	check(t, syncDir(filepath.Dir(name)))
	page := make([]byte, 4*kib)
	for count := 1; count <= n; count++ {
		for off := 0; off < len(page); off += 512 {
			binary.LittleEndian.PutUint64(page[off:], uint64(count))
		}
		write(t, f, page, int64(count%pages)*4*kib)
		check(t, sync(f))
		acks = append(acks, ack{position.Load(), count % pages, count})
	}
	return acks
}

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// errLost is found by a check when an acknowledged store is gone.
var errLost = errors.New("an acknowledged store is lost")

// intact checks that in every sector what had been acknowledged by the moment
// is there.
func intact(name string, acks []ack, moment int64) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	want := [pages]int{}
	for _, a := range acks {
		if a.moment <= moment {
			want[a.page] = a.count
		}
	}
	if len(b) != pages*4*kib {
		return fmt.Errorf("%w: the file has %d bytes", errLost, len(b))
	}
	for off := 0; off < len(b); off += 512 {
		got := binary.LittleEndian.Uint64(b[off:])
		if page := off / (4 * kib); got < uint64(want[page]) {
			return fmt.Errorf("%w: %d at %d, want at least %d", errLost, got, off, want[page])
		}
	}
	return nil
}

// The measure of all power cuts: a writer that syncs loses nothing, and one
// that does not, or whose disk lies, does.
func TestPowerCutControls(t *testing.T) {
	const writes, cuts = 300, 100
	for _, fstype := range []string{"ext4", "xfs"} {
		for _, tt := range []struct {
			name  string
			lie   bool
			sync  func(f *os.File) error
			loses bool
		}{
			{"fdatasync", false, func(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }, false},
			{"no sync", false, func(*os.File) error { return nil }, true},
			{"sync_file_range", false, syncFileRange, true}, // written, but the device is not flushed
			{"a disk that lies", true, (*os.File).Sync, true},
		} {
			t.Run(fstype+" "+tt.name, func(t *testing.T) {
				disk.Require(t)
				testutil.RequireTool(t, "mkfs."+fstype)
				rnd := testutil.Rand(t)
				d := disk.Start(t, max(64*mib, testutil.MinSize(fstype)))
				dir := must[string](t)(d.Mount(fstype))
				position := must[*disk.Position](t)(disk.OpenPosition(d.Dir()))
				defer position.Close()
				check(t, syncDir(dir))
				check(t, d.Lie(tt.lie))
				acks := written(t, d, filepath.Join(dir, "file"), writes, tt.sync)
				c := newCutter(t, d)
				lost, began := 0, time.Now()
				from, to := acks[0].moment, max(acks[len(acks)-1].moment, acks[0].moment+1)
				for range cuts {
					moment := from + rnd.Int64N(to-from+1)
					err := c.Check(min(moment, c.Len()), rnd.Uint64(), fstype, func(dir string) error {
						return intact(filepath.Join(dir, "file"), acks, moment)
					})
					if tt.lie && errors.Is(err, disk.ErrUnmountable) || errors.Is(err, errLost) {
						if lost++; !tt.loses {
							t.Error(err)
						}
					} else {
						check(t, err)
					}
				}
				if tt.loses && lost == 0 {
					t.Error("nothing was lost")
				}
				t.Logf("%d of %d cuts lost something; %.0f cuts per minute", lost, cuts, cuts/time.Since(began).Minutes())
			})
		}
	}
}

func syncFileRange(f *os.File) error {
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	return unix.SyncFileRange(int(f.Fd()), 0, 0, all)
}

// An error of the data blocks of one file is that file's alone, and is reported
// once: the trap that a failed flush sets for a caller that tries again
// [fsync(2)].
func TestFaultInTheDataOfAFile(t *testing.T) {
	d := disk.Start(t, 64*mib)
	dir := must[string](t)(d.Mount("ext4"))
	name := filepath.Join(dir, "file")
	check(t, os.WriteFile(name, fill('a', 64*kib), 0o600))
	check(t, os.WriteFile(name+"2", fill('a', 64*kib), 0o600))
	extents := must[[]disk.Extent](t)(disk.Extents(name))
	if len(extents) == 0 {
		t.Fatal("the file has no blocks")
	}
	for _, e := range extents {
		check(t, d.Fail(disk.Fault{Op: disk.Write, Off: e.Device, Len: e.Len, Times: 2}))
	}
	f, g := must[*os.File](t)(os.OpenFile(name, os.O_RDWR, 0)), must[*os.File](t)(os.OpenFile(name+"2", os.O_RDWR, 0))
	defer f.Close()
	defer g.Close()
	write(t, f, fill('b', 4*kib), 8*kib)
	write(t, g, fill('b', 4*kib), 8*kib)
	check(t, unix.Fdatasync(int(g.Fd())))
	if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EIO) {
		t.Errorf("the first fdatasync: %v, want %v", err, syscall.EIO)
	}
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		t.Errorf("the second fdatasync: %v, want nil", err)
	}
	check(t, d.Heal())
}

func TestRemount(t *testing.T) {
	d := disk.Start(t, 16*mib)
	dir := must[string](t)(d.Mount("ext4"))
	if _, err := d.Remount("ext4"); err == nil {
		t.Error("it was mounted twice")
	}
	check(t, os.WriteFile(filepath.Join(dir, "file"), []byte("kept"), 0o600))
	check(t, d.Unmount())
	dir = must[string](t)(d.Remount("ext4"))
	if b := must[[]byte](t)(os.ReadFile(filepath.Join(dir, "file"))); string(b) != "kept" {
		t.Errorf("the file holds %q", b)
	}
}
