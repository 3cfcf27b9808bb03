//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd || solaris

package sys

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLockRetriesInterruptedCalls(t *testing.T) {
	a, b := lockPair(t)
	interrupted := 0
	flockCall = func(fd, how int) error {
		if interrupted++; interrupted <= 3 {
			return unix.EINTR
		}
		return unix.Flock(fd, how)
	}
	defer func() { flockCall = unix.Flock }()
	setLock(t, a, LockExclusive)
	if interrupted != 4 {
		t.Errorf("%d calls, want 3 interrupted ones and one more", interrupted)
	}
	if err := b.Set(LockShared); err != ErrWouldBlock {
		t.Errorf("Set beside it = %v, want %v", err, ErrWouldBlock)
	}
}

// TestExclusiveRangeNeedsWriteAccess: what the documentation of package lock says of it.
func TestExclusiveRangeNeedsWriteAccess(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := NewFileLock(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.SetRange(0, 9, LockShared); err != nil {
		t.Skipf("no locks of ranges on this platform: %v", err)
	}
	if err := l.SetRange(0, 9, LockExclusive); err != unix.EBADF {
		t.Errorf("SetRange = %v, want %v", err, unix.EBADF)
	}
}

func BenchmarkFileLock(b *testing.B) {
	name := filepath.Join(b.TempDir(), "file")
	l, f := lockFile(b, name)
	conn, err := f.SyscallConn()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("raw", func(b *testing.B) {
		b.ReportAllocs()
		conn.Control(func(fd uintptr) {
			for b.Loop() {
				if unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) != nil || unix.Flock(int(fd), unix.LOCK_UN) != nil {
					b.Fatal("flock failed")
				}
			}
		})
	})
	b.Run("FileLock", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if l.Set(LockExclusive) != nil || l.Set(Unlocked) != nil {
				b.Fatal("Set failed")
			}
		}
	})
}
