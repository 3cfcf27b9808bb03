package sys

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// unlearned forgets what the process has learnt of its calls, and restores it
// when the test ends.
func unlearned(t *testing.T) {
	t.Helper()
	r, w := refused.Swap(0), working.Swap(0)
	t.Cleanup(func() { refused.Store(r); working.Store(w) })
}

// fallocateWith puts fn in the place of fallocate(2).
func fallocateWith(t *testing.T, fn func(fd int, mode uint32, off, n int64) error) {
	t.Helper()
	fallocateCall = fn
	t.Cleanup(func() { fallocateCall = unix.Fallocate })
}

// A filter that refuses syncfs leaves it unsupported, and an error of the device
// is one.
func TestSyncAllThatAFilterRefuses(t *testing.T) {
	for _, tt := range []struct {
		name     string
		file, no error // for a file, and for a descriptor of -1
		refused  bool
	}{
		{"a filter", unix.EPERM, unix.EPERM, true},
		{"a failing device", unix.EIO, unix.EBADF, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			unlearned(t)
			syncfsCall = func(fd int) error {
				if fd < 0 {
					return tt.no
				}
				return tt.file
			}
			t.Cleanup(func() { syncfsCall = unix.Syncfs })
			err := SyncAll(newFile(t, 100))
			if got := errors.Is(err, errors.ErrUnsupported); got != tt.refused || !tt.refused && err != tt.file {
				t.Errorf("SyncAll = %v, unsupported: want %v", err, tt.refused)
			}
		})
	}
}

// EPERM is about a file that is immutable as well as about a filter. Only the
// latter refuses a descriptor that no file has, and only that is remembered.
func TestRefusalOfOneFileIsNotOfTheProcess(t *testing.T) {
	for _, tt := range []struct {
		name    string
		file    error // for a file
		nothing error // for a descriptor of -1
		refused bool
		calls   int
	}{
		{"an immutable file", unix.EPERM, unix.EBADF, false, 6},
		{"a file system without the call", unix.EOPNOTSUPP, unix.EBADF, false, 6},
		{"a filter", unix.EPERM, unix.EPERM, true, 2},
		{"a filter with EACCES", unix.EACCES, unix.EACCES, true, 2},
		{"a kernel without the call", unix.ENOSYS, unix.ENOSYS, true, 2},
		{"a full disk", unix.ENOSPC, unix.EBADF, false, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			unlearned(t)
			f := newFile(t, 100)
			fallocateWith(t, func(fd int, _ uint32, _, _ int64) error {
				if fd < 0 {
					return tt.nothing
				}
				return tt.file
			})
			count, restore := CountCalls()
			defer restore()
			for range 3 {
				err := Allocate(f, 0, 10)
				if want := tt.refused || tt.file == unix.EOPNOTSUPP; errors.Is(err, errors.ErrUnsupported) != want || err == nil {
					t.Errorf("Allocate = %v, unsupported: want %v", err, want)
				}
			}
			if got := CallFallocate.Missing(); got != tt.refused {
				t.Errorf("remembered as missing: %v, want %v", got, tt.refused)
			}
			if n := count(CallFallocate); n != tt.calls {
				t.Errorf("%d calls, want %d", n, tt.calls)
			}
		})
	}
}

// A signal makes the steps of fallocate smaller, and all of the range is done.
func TestFallocateGoesOnAfterSignals(t *testing.T) {
	f := newFile(t, 1)
	interrupted := false
	var next int64
	fallocateWith(t, func(_ int, _ uint32, off, n int64) error {
		if !interrupted {
			interrupted = true
			return unix.EINTR
		}
		if off != next || n <= 0 {
			t.Fatalf("fallocate of %d bytes from %d, want them from %d", n, off, next)
		}
		next = off + n
		return nil
	})
	const size = 5<<20 + 3
	if err := Allocate(f, 0, size); err != nil || next != size {
		t.Errorf("%d bytes are allocated, %v, want %d", next, err, size)
	}
}

// Populate brings in all of a range that takes several system calls.
func TestPopulateLarge(t *testing.T) {
	const size = 300 << 20
	m := newMapping(t, nil, MapOptions{Access: ReadWrite, Len: size})
	if err := m.Populate(0, size, false); err != nil { // the page of zeroes, many times
		t.Fatal(err)
	}
	if in, of, err := m.Resident(0, size); err != nil || in != of {
		t.Errorf("%d of %d pages are resident, %v", in, of, err)
	}
}

// Advice that loses bytes takes all whole pages of a range that begins and ends
// inside pages, and none beside them.
func TestAdviceOfPartsOfPages(t *testing.T) {
	page := PageSize()
	m := newMapping(t, nil, MapOptions{Access: ReadWrite, Len: 6 * page})
	b := m.bytes(0, 6*page)
	for i := range b {
		b[i] = 1
	}
	if err := m.Advise(DontNeed, page/2, 4*page); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		want := byte(1)
		if at := int64(i); at >= page && at < 4*page {
			want = 0
		}
		if b[i] != want {
			t.Fatalf("byte %d of page %d = %d, want %d", int64(i)%page, int64(i)/page, b[i], want)
		}
	}
}

// Only a directory that cannot be synced is unsupported: a failure is one.
func TestSyncDirFailure(t *testing.T) {
	r, w, err := os.Pipe() // fsync(2) of it is EINVAL
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if err := syncDir(r); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("syncDir of what cannot be synced = %v, want ErrUnsupported", err)
	}
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, failure := range []error{unix.EIO, unix.ENOSPC, unix.EDQUOT} {
		syncDirCall = func(*os.File) error { return failure }
		err := syncDir(dir)
		syncDirCall = (*os.File).Sync
		if err != failure {
			t.Errorf("syncDir = %v, want %v", err, failure)
		}
	}
}

// Where mincore is missing, resident pages of a file are counted all the same,
// and a range that is too long for that is unsupported.
func TestResidentWithoutMincore(t *testing.T) {
	page := PageSize()
	f := newFile(t, (maxNowait+1)*page)
	m := newMapping(t, f, MapOptions{Access: ReadWrite, Len: (maxNowait + 1) * page})
	defer Disable(CallMincore)()
	in, of, err := m.Resident(page/2, 3*page)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("this file system does not read without waiting: %v", err)
	}
	if err != nil || in != 4 || of != 4 {
		t.Errorf("%d of %d pages are resident, %v, want 4 of 4", in, of, err)
	}
	if _, _, err := m.Resident(0, (maxNowait+1)*page); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Resident of %d pages: %v, want ErrUnsupported", maxNowait+1, err)
	}
}

// A filter, and success for everything, are both no MADV_POPULATE_READ.
func TestPopulateIsTriedBeforeItIsTrusted(t *testing.T) {
	f := newFile(t, 3*PageSize())
	m := newMapping(t, f, MapOptions{Access: Read, Len: 3 * PageSize()})
	for name, err := range map[string]error{"EPERM": unix.EPERM, "EINVAL": unix.EINVAL, "success": nil} {
		t.Run(name, func(t *testing.T) {
			unlearned(t)
			madviseCall = func([]byte, int) error { return err }
			defer func() { madviseCall = unix.Madvise }()
			count, restore := CountCalls()
			defer restore()
			for range 5 {
				if err := m.Populate(0, 3*PageSize(), false); err != nil {
					t.Fatal(err)
				}
			}
			if n := count(CallPopulate); !CallPopulate.Missing() || n > 2 {
				t.Errorf("missing: %v after %d calls", CallPopulate.Missing(), n)
			}
		})
	}
}
