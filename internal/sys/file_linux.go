package sys

import (
	"errors"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

func allocate(f *os.File, off, n int64) error {
	return fallocate(f, 0, off, n)
}

func fillHoles(f *os.File, off, n int64) error {
	err := fallocate(f, unix.FALLOC_FL_KEEP_SIZE, off, n)
	if errors.Is(err, errors.ErrUnsupported) { // NFS has the other mode alone
		err = fallocate(f, 0, off, n)
	}
	return err
}

// fallocateCall is a variable for tests that interrupt and fail it.
var fallocateCall = unix.Fallocate

// tryFallocate is fallocate(2) as the optional call c. The kernel's own EPERM
// is about the file: it is immutable, append-only or sealed.
func tryFallocate(c Call, fd int, mode uint32, off, n int64) error {
	return c.try(
		func() error { return fallocateCall(fd, mode, off, n) },
		func() error { return fallocateCall(-1, mode, 0, 1) },
	)
}

// fallocate is fallocate(2) until all of the range is done.
func fallocate(f *os.File, mode uint32, off, n int64) error {
	if CallFallocate.Missing() {
		return CallFallocate.unsupported()
	}
	if n == 0 {
		return nil
	}
	return control(f, func(fd uintptr) error {
		step := n
		for n > 0 {
			err := tryFallocate(CallFallocate, int(fd), mode, off, min(n, step))
			switch err {
			case nil:
				done := min(n, step)
				off, n = off+done, n-done
			case unix.EINTR:
				// tmpfs undoes an interrupted call: smaller ones get done
				// between two ticks of a profiler.
				step = max(step/2, 1<<20)
			default:
				return unsupported(err)
			}
		}
		return nil
	})
}

func punchHole(f *os.File, off, n int64) error {
	if n == 0 {
		return nil
	}
	return control(f, func(fd uintptr) error {
		return unsupported(retryEINTR(func() error {
			return tryFallocate(CallPunch, int(fd), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
		}))
	})
}

func statfs(fd int) (s space, err error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return space{}, err
	}
	if st.Blocks == 0 {
		return space{}, nil // a tmpfs without a limit, and file systems that do not tell
	}
	s = space{free: st.Bfree, available: st.Bavail, unit: uint64(st.Frsize)}
	if s.unit == 0 {
		s.unit = uint64(st.Bsize)
	}
	return s, nil
}

func startWriteback(f *os.File, off, n int64) error {
	return syncFileRange(f, off, n, unix.SYNC_FILE_RANGE_WRITE)
}

func awaitWriteback(f *os.File, off, n int64) error {
	return syncFileRange(f, off, n, unix.SYNC_FILE_RANGE_WAIT_BEFORE)
}

func syncFileRange(f *os.File, off, n int64, flags int) error {
	if n == 0 {
		// To the system call 0 is the end of the file.
		return nil
	}
	return control(f, func(fd uintptr) error {
		return unsupported(CallSyncFileRange.try(
			func() error {
				return retryEINTR(func() error { return unix.SyncFileRange(int(fd), off, n, flags) })
			},
			func() error { return unix.SyncFileRange(-1, 0, 1, flags) },
		))
	})
}

// copyRange shares blocks where the file system can, in one step, and else lets
// the kernel copy.
func copyRange(dst *os.File, dstOff int64, src *os.File, srcOff, n int64) (int64, error) {
	if n <= 0 {
		return 0, nil
	}
	var done int64
	err := control(dst, func(d uintptr) error {
		return control(src, func(s uintptr) error {
			err := cloneRange(int(d), dstOff, int(s), srcOff, n)
			switch err {
			case nil:
				done = n
				return nil
			case unix.EIO:
				// Sharing writes the source's pages first, and this reports,
				// once, that some could not be written. Their blocks are old,
				// and the next call would share those.
				return errors.ErrUnsupported
			}
			done, err = copyFileRange(int(d), dstOff, int(s), srcOff, n, copyStep)
			return err
		})
	})
	return done, err
}

// cloneRange shares the blocks of [srcOff, srcOff+n). It needs whole blocks,
// except at the end of the source. Most of its errors mean only that the bytes
// have to be copied.
func cloneRange(dst int, dstOff int64, src int, srcOff, n int64) error {
	if mask := int64(4096 - 1); srcOff&mask != 0 || dstOff&mask != 0 {
		return unix.EINVAL
	}
	arg := unix.FileCloneRange{
		Src_fd:      int64(src),
		Src_offset:  uint64(srcOff),
		Src_length:  uint64(n),
		Dest_offset: uint64(dstOff),
	}
	return CallFiclone.try(
		func() error {
			return retryEINTR(func() error { return unix.IoctlFileCloneRange(dst, &arg) })
		},
		func() error { return unix.IoctlFileCloneRange(-1, &arg) },
	)
}

// copyStep is the most that one call copies. It fits an int on every platform.
const copyStep = 1 << 30

// copyFileRange is copy_file_range(2) until all is copied.
func copyFileRange(dst int, dstOff int64, src int, srcOff, n, step int64) (int64, error) {
	var done int64
	for done < n {
		from, to, got := srcOff+done, dstOff+done, 0
		err := CallCopyFileRange.try(
			func() (err error) {
				got, err = unix.CopyFileRange(src, &from, dst, &to, int(min(n-done, step)), 0)
				return err
			},
			func() error { _, err := unix.CopyFileRange(-1, nil, -1, nil, 1, 0); return err },
		)
		switch err {
		case nil:
		case CallCopyFileRange.unsupported():
			return done, err
		case unix.EINTR:
			continue
		case unix.EXDEV, unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP, unix.EPERM, unix.EBADF, unix.EIO:
			// Other file systems, overlapping ranges, seccomp, append mode, and
			// a device that fails, which may be that of either file: copying by
			// other means shows which.
			return done, errors.ErrUnsupported
		default:
			return done, err
		}
		if got == 0 {
			return done, endOrRefusal(src, srcOff+done)
		}
		done += int64(got)
	}
	return done, nil
}

// endOrRefusal returns the error for a copy of no bytes: it is the end of the
// source, or a kernel or file system (proc, some FUSE) has reported success
// without copying.
func endOrRefusal(src int, off int64) error {
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return err
	}
	if off >= st.Size && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size > 0 {
		return io.ErrUnexpectedEOF
	}
	return errors.ErrUnsupported
}

// lengthOf returns the length of an open file, and asks for nothing else: since
// Linux 6.13 a call that reports the times of a file has the next write give it a
// time of its own [multigrain timestamps]. That changes the inode, and a write
// with its flush takes a quarter longer on ext4.
//
// [multigrain timestamps]: https://docs.kernel.org/filesystems/multigrain-ts.html
func lengthOf(fd int) (int64, error) {
	var sx unix.Statx_t
	err := CallStatx.try(
		func() error { return retryEINTR(func() error { return statxCall(fd, &sx) }) },
		func() error { return statxCall(-1, &sx) },
	)
	if err == nil {
		return int64(sx.Size), nil
	}
	var st unix.Stat_t
	err = retryEINTR(func() error { return unix.Fstat(fd, &st) })
	return st.Size, err
}

// statxCall is unix.Statx of a descriptor, which allocates nothing.
func statxCall(fd int, sx *unix.Statx_t) error {
	var path [1]byte // empty
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(fd), uintptr(unsafe.Pointer(&path)),
		unix.AT_EMPTY_PATH, unix.STATX_SIZE, uintptr(unsafe.Pointer(sx)), 0) // both live until it returns
	if errno != 0 {
		return errno
	}
	return nil
}
