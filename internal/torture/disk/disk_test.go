package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

func TestFaults(t *testing.T) {
	d := disk.Start(t, mib)
	f := open(t, d)
	page := fill('a', 4*kib)
	do := map[disk.Op]func(off int64) error{
		disk.Write: func(off int64) error { _, err := f.WriteAt(page, off); return err },
		disk.Flush: func(int64) error { return f.Sync() },
		disk.Read: func(off int64) error {
			check(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
			check(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM))
			_, err := f.ReadAt(make([]byte, 4*kib), off)
			return err
		},
	}
	const eio, enospc = syscall.EIO, syscall.ENOSPC
	for _, tt := range []struct {
		name  string
		fault disk.Fault
		at    []int64 // the offsets to operate at
		want  []error
	}{
		{"all writes", disk.Fault{Op: disk.Write}, []int64{0, 0, 8192}, []error{eio, eio, eio}},
		{"two writes", disk.Fault{Op: disk.Write, Times: 2}, []int64{0, 0, 0}, []error{eio, eio, nil}},
		{"the third write", disk.Fault{Op: disk.Write, Skip: 2, Times: 1}, []int64{0, 0, 0, 0}, []error{nil, nil, eio, nil}},
		{"writes of a range", disk.Fault{Op: disk.Write, Off: 8191, Len: 2}, []int64{0, 4096, 8192, 12288}, []error{nil, eio, eio, nil}},
		{"a full disk", disk.Fault{Op: disk.Write, Err: enospc}, []int64{0}, []error{enospc}},
		{"reads of a range", disk.Fault{Op: disk.Read, Off: 4096, Len: 1}, []int64{0, 4096, 8192}, []error{nil, eio, nil}},
		{"a flush", disk.Fault{Op: disk.Flush, Times: 1}, []int64{0, 0}, []error{eio, nil}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := must[disk.Stats](t)(d.Stats()).Failed
			check(t, d.Fail(tt.fault))
			failed := int64(0)
			for i, off := range tt.at {
				if err := do[tt.fault.Op](off); !errors.Is(err, tt.want[i]) {
					t.Errorf("operation %d: %v, want %v", i, err, tt.want[i])
				}
				if tt.want[i] != nil {
					failed++
				}
			}
			check(t, d.Heal())
			if err := do[tt.fault.Op](0); err != nil {
				t.Errorf("after Heal: %v", err)
			}
			if got := must[disk.Stats](t)(d.Stats()).Failed - before; got < failed {
				t.Errorf("%d failures are counted, want %d", got, failed)
			}
		})
	}
}

func TestDelay(t *testing.T) {
	d := disk.Start(t, mib)
	f := open(t, d)
	const by = 50 * time.Millisecond
	check(t, d.Delay(disk.Flush, by))
	began := time.Now()
	check(t, f.Sync())
	if took := time.Since(began); took < by {
		t.Errorf("a flush that is delayed by %v took %v", by, took)
	}
}

// A flush that is held covers what was written before it, and not what is
// written while it is held.
func TestHold(t *testing.T) {
	d := disk.Start(t, mib)
	f := open(t, d)
	write(t, f, fill('a', 4*kib), 0)
	check(t, d.Hold(disk.Flush, true))
	synced := make(chan error)
	go func() { synced <- f.Sync() }() // ends when the flush is let go
	testutil.WaitUntil(t, "the flush is held", func() bool { return must[disk.Stats](t)(d.Stats()).Held == 1 })
	raw := must[*os.File](t)(os.OpenFile(filepath.Join(filepath.Dir(d.File()), "raw"), os.O_RDWR, 0))
	defer raw.Close()
	write(t, raw, fill('b', 4*kib), 4*kib) // to the file that is being synced the kernel would not write now
	select {
	case err := <-synced:
		t.Fatalf("a flush that is held returned %v", err)
	default:
	}
	check(t, d.Hold(disk.Flush, false))
	check(t, <-synced)
	c := newCutter(t, d)
	want := []disk.Record{{Op: disk.Write, Len: 4 * kib}, {Op: disk.Write, Off: 4 * kib, Len: 4 * kib}, {Op: disk.Flush, Covers: 1}}
	wantRecords(t, c, want)
}

// What is held for a time is let go without being asked.
func TestHoldFor(t *testing.T) {
	d := disk.Start(t, mib)
	f := open(t, d)
	write(t, f, fill('a', 4*kib), 0)
	check(t, d.HoldFor(disk.Flush, 50*time.Millisecond))
	check(t, f.Sync())
}

func TestSizeFollowsTheFile(t *testing.T) {
	d := disk.Start(t, mib)
	f := open(t, d)
	check(t, f.Truncate(2*mib))
	write(t, f, []byte("end"), 2*mib)
	if fi := must[os.FileInfo](t)(f.Stat()); fi.Size() != 2*mib+3 {
		t.Errorf("the file has %d bytes", fi.Size())
	}
	if _, err := d.Cut(must[*disk.Position](t)(disk.OpenPosition(d.Dir())).Load(), 1); err == nil {
		t.Error("a write past the end of the disk was cut")
	}
}

func TestNoLog(t *testing.T) {
	disk.Require(t)
	d := must[*disk.Disk](t)(disk.New(disk.Options{Size: mib, NoLog: true, Dir: t.TempDir()}))
	f := open(t, d)
	write(t, f, fill('a', 4*kib), 0)
	check(t, f.Sync())
	if n := newCutter(t, d).Len(); n != 0 {
		t.Errorf("the log has %d records", n)
	}
	f.Close()
	check(t, d.Close())
	if err := d.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the second Close: %v", err)
	}
	if _, err := d.Stats(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Stats of a closed disk: %v", err)
	}
}

// leftovers returns what is left of the disk that had this directory, and of
// what the process has mounted there.
func leftovers(t *testing.T, pid, dir string) (left []string) {
	t.Helper()
	if _, err := os.Stat(dir); err == nil {
		left = append(left, dir)
	}
	mounts, _ := os.ReadFile("/proc/" + pid + "/mounts") // gone with the process
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			left = append(left, line)
		}
	}
	files := must[[]string](t)(filepath.Glob("/sys/block/loop*/loop/backing_file"))
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(b), dir) {
			left = append(left, name)
		}
	}
	return left
}

func TestNothingIsLeft(t *testing.T) {
	disk.Require(t)
	t.Run("of a disk that is closed", func(t *testing.T) {
		testutil.NoLeaks(t)
		d := must[*disk.Disk](t)(disk.New(disk.Options{Size: 16 * mib}))
		dir := must[string](t)(d.Mount("ext4"))
		check(t, os.WriteFile(filepath.Join(dir, "file"), []byte("never synced"), 0o600))
		must[string](t)(d.Cut(0, 1))
		check(t, d.Close())
		if left := leftovers(t, "self", d.Dir()); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
	for _, held := range []string{"", "1"} {
		t.Run(map[string]string{"": "of a program that is killed", "1": "of a program that is killed while it waits for the disk"}[held], func(t *testing.T) {
			// Of a mount namespace of its own, as other programs have.
			p := testutil.Reexec(t, "disk", "DISK_TEST_HELD="+held, "FMMAP_TEST_MOUNTS=")
			pid, dir := strconv.Itoa(p.Pid()), p.Hear()
			if left := leftovers(t, pid, dir); len(left) != 6 { // directory, FUSE, two mounts and their loop devices
				t.Errorf("a disk in use is %q", left)
			}
			p.Kill()
			testutil.WaitUntil(t, "nothing is left", func() bool { return len(leftovers(t, pid, dir)) == 0 })
		})
	}
}
