package sys

import (
	"errors"

	"golang.org/x/sys/windows"
)

// Locks of Windows are mandatory: ReadFile and WriteFile through any other
// handle fail on locked bytes. So these locks are on bytes that no file has:
// those of ranges from rangeBase on, that of the whole file on one byte behind
// them. The latter conflicts with a program that locks all bytes from 0 on, as
// Go's lockedfile does.
const (
	rangeBase = 1 << 62
	lastRange = EndOfFile - 2
	wholeByte = EndOfFile - 1
)

// lockWhole sets the mode of the whole file. It never requests what conflicts
// with the handle's own lock, as LockFileEx would refuse that too.
func (l *FileLock) lockWhole(fd uintptr) error {
	h := windows.Handle(fd)
	switch {
	case l.mode == l.whole:
		return nil // Set restores the old lock, which a refusal has left alone
	case l.whole == Unlocked:
		return lockBytes(h, wholeByte, wholeByte, l.mode)
	case l.mode == LockShared:
		// A handle may also share what it has exclusively. The first unlock
		// then removes the exclusive lock.
		err := lockBytes(h, wholeByte, wholeByte, LockShared)
		if err == nil {
			err = unlockBytes(h, wholeByte, wholeByte)
		}
		if !errors.Is(err, ErrWouldBlock) {
			return err
		}
	}
	if err := unlockBytes(h, wholeByte, wholeByte); err != nil || l.mode == Unlocked {
		return err
	}
	l.whole = Unlocked // so that Set, after a refusal, takes the old lock again
	return lockBytes(h, wholeByte, wholeByte, l.mode)
}

// lockBytes locks the bytes from lo to hi without waiting.
func lockBytes(h windows.Handle, lo, hi int64, m LockMode) error {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if m == LockExclusive {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	at, low, high := lockArgs(lo, hi)
	err := windows.LockFileEx(h, flags, 0, low, high, at)
	if err == windows.ERROR_IO_PENDING { // a handle for overlapped operations
		var n uint32
		err = windows.GetOverlappedResult(h, at, &n, true)
	}
	if err == windows.ERROR_LOCK_VIOLATION {
		return ErrWouldBlock
	}
	return err
}

// unlockBytes undoes one call of lockBytes with the same lo and hi.
func unlockBytes(h windows.Handle, lo, hi int64) error {
	at, low, high := lockArgs(lo, hi)
	return windows.UnlockFileEx(h, 0, low, high, at)
}

// lockArgs returns the bytes from lo to hi as LockFileEx takes them.
func lockArgs(lo, hi int64) (at *windows.Overlapped, low, high uint32) {
	n := uint64(hi - lo + 1)
	at = &windows.Overlapped{Offset: uint32(lo), OffsetHigh: uint32(lo >> 32)}
	return at, uint32(n), uint32(n >> 32)
}
