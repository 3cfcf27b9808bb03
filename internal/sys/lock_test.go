package sys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// lockFile opens name once more, and returns the locks of that open file.
func lockFile(t testing.TB, name string) (*FileLock, *os.File) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	l, err := NewFileLock(f)
	if err != nil {
		t.Skipf("no descriptors on this platform: %v", err)
	}
	return l, f
}

func lockPair(t testing.TB) (a, b *FileLock) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	a, _ = lockFile(t, name)
	b, _ = lockFile(t, name)
	if err := a.Set(LockShared); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no locks of whole files on this platform")
	}
	setLock(t, a, Unlocked)
	return a, b
}

func setLock(t testing.TB, l *FileLock, m LockMode) {
	t.Helper()
	if err := l.Set(m); err != nil {
		t.Fatalf("Set(%d) = %v", m, err)
	}
}

// meddle has do run before the nth call of op from now on; the calls that do
// makes itself are not counted.
func meddle(t *testing.T, op Op, nth int, do func() error) {
	t.Helper()
	n, inside := 0, false
	t.Cleanup(Inject(func(o Op) error {
		if o != op || inside {
			return nil
		}
		if n++; n != nth {
			return nil
		}
		inside = true
		defer func() { inside = false }()
		return do()
	}))
}

func TestLockModesExcludeEachOther(t *testing.T) {
	for _, tt := range []struct {
		name     string
		has, try LockMode
		want     error
	}{
		{"shared with shared", LockShared, LockShared, nil},
		{"shared with exclusive", LockShared, LockExclusive, ErrWouldBlock},
		{"exclusive with shared", LockExclusive, LockShared, ErrWouldBlock},
		{"exclusive with exclusive", LockExclusive, LockExclusive, ErrWouldBlock},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := lockPair(t)
			setLock(t, a, tt.has)
			if err := b.Set(tt.try); err != tt.want {
				t.Errorf("Set = %v, want %v", err, tt.want)
			}
			setLock(t, a, Unlocked)
			setLock(t, b, tt.try)
			if got := b.whole; got != tt.try {
				t.Errorf("whole = %d, want %d", got, tt.try)
			}
		})
	}
}

func TestLockConvertsBothWays(t *testing.T) {
	a, b := lockPair(t)
	setLock(t, a, LockShared)
	setLock(t, a, LockExclusive)
	if err := b.Set(LockShared); err != ErrWouldBlock {
		t.Errorf("Set beside an upgraded lock = %v, want %v", err, ErrWouldBlock)
	}
	setLock(t, a, LockShared)
	setLock(t, b, LockShared)
	if err := a.Set(LockExclusive); err != ErrWouldBlock || a.whole != LockShared {
		t.Fatalf("refused upgrade: %v, holding %d; want %v, %d", err, a.whole, ErrWouldBlock, LockShared)
	}
	// flock(2) has dropped the shared lock, and Set must have taken it again.
	if err := b.Set(LockExclusive); err != ErrWouldBlock {
		t.Errorf("upgrade beside a lock whose upgrade was refused = %v, want %v", err, ErrWouldBlock)
	}
}

// TestLockLostTellsTheTruth has another holder acquire the lock between a
// refused upgrade and the restoring of the previous lock.
func TestLockLostTellsTheTruth(t *testing.T) {
	a, b := lockPair(t)
	setLock(t, a, LockShared)
	setLock(t, b, LockShared)
	// By the second call the old lock is gone: flock(2) drops it as it refuses
	// the new one, and on Windows it has been unlocked first.
	meddle(t, OpFlock, 2, func() error {
		if err := b.Set(LockExclusive); err != nil {
			t.Skipf("a refused upgrade drops nothing on this platform: %v", err)
		}
		return nil
	})
	err := a.Set(LockExclusive)
	if !errors.Is(err, ErrLockLost) || !errors.Is(err, ErrWouldBlock) {
		t.Errorf("Set = %v, want %v and %v", err, ErrLockLost, ErrWouldBlock)
	}
	if a.whole != Unlocked {
		t.Errorf("whole = %d after the lock was lost", a.whole)
	}
}

func TestLockInjectedErrors(t *testing.T) {
	for _, tt := range []struct {
		name     string
		from, to LockMode
	}{
		{"taking", Unlocked, LockShared},
		{"upgrading", LockShared, LockExclusive},
		{"downgrading", LockExclusive, LockShared},
		{"releasing", LockExclusive, Unlocked},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := lockPair(t)
			setLock(t, a, tt.from)
			meddle(t, OpFlock, 1, func() error { return syscall.EIO })
			if err := a.Set(tt.to); err != syscall.EIO {
				t.Errorf("Set = %v, want %v", err, syscall.EIO)
			}
			if a.whole != tt.from {
				t.Errorf("whole = %d, want %d", a.whole, tt.from)
			}
			want := error(nil)
			if tt.from != Unlocked {
				want = ErrWouldBlock
			}
			if err := b.Set(LockExclusive); err != want {
				t.Errorf("Set of another = %v, want %v", err, want)
			}
		})
	}
}

// TestLockOfClosedFile: a descriptor that has been closed and given out again
// must not be locked in the name of the old file.
func TestLockOfClosedFile(t *testing.T) {
	dir := t.TempDir()
	old, f := lockFile(t, filepath.Join(dir, "old"))
	fd := f.Fd()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, g := lockFile(t, filepath.Join(dir, "new"))
	if g.Fd() != fd {
		t.Logf("descriptor %d was not given out again (got %d)", fd, g.Fd())
	}
	if !old.Closed() {
		t.Error("Closed() = false")
	}
	if err := old.Set(LockExclusive); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Set = %v, want %v", err, os.ErrClosed)
	}
	if err := old.SetRange(0, EndOfFile, LockExclusive); !errors.Is(err, os.ErrClosed) {
		t.Errorf("SetRange = %v, want %v", err, os.ErrClosed)
	}
	other, _ := lockFile(t, filepath.Join(dir, "new"))
	if err := other.Set(LockExclusive); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("the file with the old one's descriptor is locked: %v", err)
	}
	if _, err := NewFileLock(nil); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("NewFileLock(nil) = %v, want %v", err, fs.ErrInvalid)
	}
}

func TestLockLeavesDataAccessible(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	a, f := lockFile(t, name)
	if _, err := f.WriteString("data"); err != nil {
		t.Fatal(err)
	}
	for _, lock := range []func() error{
		func() error { return a.Set(LockExclusive) },
		func() error { return a.SetRange(0, EndOfFile, LockExclusive) },
	} {
		if err := lock(); errors.Is(err, errors.ErrUnsupported) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(name); err != nil || string(b) != "data" {
			t.Errorf("reading a locked file: %q, %v", b, err)
		}
		if err := os.WriteFile(name, []byte("data"), 0); err != nil {
			t.Errorf("writing a locked file: %v", err)
		}
	}
}

func TestLockRange(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	a, _ := lockFile(t, name)
	b, _ := lockFile(t, name)
	if err := a.SetRange(0, 0, LockShared); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no locks of ranges on this platform")
	}
	steps := []struct {
		name   string
		l      *FileLock
		lo, hi int64
		m      LockMode
		want   error
	}{
		{"unlock the first byte", a, 0, 0, Unlocked, nil},
		{"exclusive in the middle", a, 10, 19, LockExclusive, nil},
		{"the byte before", b, 9, 9, LockExclusive, nil},
		{"the byte behind", b, 20, 20, LockExclusive, nil},
		{"its first byte", b, 10, 10, LockShared, ErrWouldBlock},
		{"its last byte, from before", b, 0, 19, LockShared, ErrWouldBlock},
		{"all that follows", b, 20, EndOfFile, LockShared, nil},
		{"a part of that", a, 1 << 60, 1<<60 + 9, LockExclusive, ErrWouldBlock},
		{"share the middle", a, 12, 14, LockShared, nil},
		{"the shared part", b, 12, 14, LockShared, nil},
		{"more than the shared part", b, 12, 15, LockShared, ErrWouldBlock},
		{"refused conversion over both", a, 10, 20, LockExclusive, ErrWouldBlock},
		{"which kept the exclusive part", b, 15, 19, LockShared, ErrWouldBlock},
		{"and the shared part", b, 12, 14, LockExclusive, ErrWouldBlock},
		{"release all of b", b, 0, EndOfFile, Unlocked, nil},
		{"upgrade of the middle", a, 12, 14, LockExclusive, nil},
		{"release the second half", a, 15, EndOfFile, Unlocked, nil},
		{"the half released", b, 15, EndOfFile, LockExclusive, nil},
		{"the half kept", b, 14, 14, LockShared, ErrWouldBlock},
	}
	for _, s := range steps {
		if err := s.l.SetRange(s.lo, s.hi, s.m); err != s.want {
			t.Fatalf("%s: SetRange(%d, %d, %d) = %v, want %v", s.name, s.lo, s.hi, s.m, err, s.want)
		}
	}
	t.Cleanup(Disable(CallOFD))
	if err := a.SetRange(0, 0, LockShared); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SetRange without the system call = %v, want %v", err, errors.ErrUnsupported)
	}
}

func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	_, f := lockFile(t, filepath.Join(dir, "f"))
	_, again := lockFile(t, filepath.Join(dir, "f"))
	_, other := lockFile(t, filepath.Join(dir, "other"))
	id, err := Identity(f)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no identities on this platform")
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Identity(again); err != nil || got != id {
		t.Errorf("opened twice: %v, %v; want %v", got, err, id)
	}
	if got, err := Identity(other); err != nil || got == id {
		t.Errorf("another file: %v, %v", got, err)
	}
	if err := os.Link(filepath.Join(dir, "f"), filepath.Join(dir, "link")); err == nil {
		_, linked := lockFile(t, filepath.Join(dir, "link"))
		if got, err := Identity(linked); err != nil || got != id {
			t.Errorf("by its second name: %v, %v; want %v", got, err, id)
		}
	}
	f.Close()
	if _, err := Identity(f); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: %v, want %v", err, os.ErrClosed)
	}
}
