//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd || solaris

package sys

import "golang.org/x/sys/unix"

// flockCall is a variable for a test that interrupts it.
var flockCall = unix.Flock

// lockWhole is flock(2). Solaris and illumos have it as an open-file-description
// lock of the whole file.
func (l *FileLock) lockWhole(fd uintptr) error {
	how := unix.LOCK_UN
	switch l.mode {
	case LockShared:
		how = unix.LOCK_SH | unix.LOCK_NB
	case LockExclusive:
		how = unix.LOCK_EX | unix.LOCK_NB
	}
	for {
		err := CallFlock.try(
			func() error { return flockCall(int(fd), how) },
			func() error { return flockCall(-1, how) },
		)
		switch err {
		case unix.EINTR:
			continue // network file systems are interruptible even when they need not wait
		case unix.EWOULDBLOCK:
			return ErrWouldBlock
		}
		return err
	}
}
