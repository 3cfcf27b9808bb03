package sys

import (
	"io"

	"golang.org/x/sys/unix"
)

// ranges holds the argument of fcntl(2), so that it is allocated once. The
// kernel itself remembers which bytes are locked, and splits and joins ranges.
type ranges struct{ arg unix.Flock_t }

// lockRange is fcntl(2) with F_OFD_SETLK, of Linux 3.15. POSIX locks, which
// other commands of fcntl give, belong to the process and vanish when any
// descriptor of the file is closed.
func (l *FileLock) lockRange(fd uintptr) error {
	arg := &l.ranges.arg
	*arg = unix.Flock_t{Type: unix.F_UNLCK, Whence: io.SeekStart, Start: l.lo}
	switch l.mode {
	case LockShared:
		arg.Type = unix.F_RDLCK
	case LockExclusive:
		arg.Type = unix.F_WRLCK
	}
	if l.hi != EndOfFile {
		arg.Len = l.hi - l.lo + 1
	}
	for {
		err := CallOFD.try(
			func() error { return unix.FcntlFlock(fd, unix.F_OFD_SETLK, arg) },
			func() error { return unix.FcntlFlock(^uintptr(0), unix.F_OFD_SETLK, arg) },
		)
		switch err {
		case unix.EINTR:
			continue
		case unix.EAGAIN, unix.EACCES:
			return ErrWouldBlock
		case unix.EINVAL: // an older kernel, or a file that has no locks
			return CallOFD.unsupported()
		}
		return err
	}
}
