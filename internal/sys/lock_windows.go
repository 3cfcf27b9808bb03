package sys

import (
	"errors"

	"golang.org/x/sys/windows"
)

// Locks of Windows are mandatory: ReadFile and WriteFile through any other
// handle fail on locked bytes. So these locks lie where no file has data:
// ranges from rangeBase on, and the whole file as one byte behind them. A
// program that locks all bytes from 0 on, as Go's lockedfile does, conflicts
// with the latter.
const (
	rangeBase = 1 << 62
	lastRange = EndOfFile - 2
	wholeByte = EndOfFile - 1
)

// lockWhole never asks for what would conflict with the handle's own lock,
// which LockFileEx refuses like anybody else's.
func (l *FileLock) lockWhole(fd uintptr) error {
	h := windows.Handle(fd)
	switch {
	case l.mode == l.whole:
		return nil // a conversion was refused before it had begun
	case l.whole == Unlocked:
		return lockBytes(h, wholeByte, wholeByte, l.mode)
	case l.mode == LockShared:
		// A handle may share what it has exclusively, and the first unlock then
		// takes the exclusive one.
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
	l.whole = Unlocked // what Set then asks for, after a refusal, is the old lock anew
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

// unlockBytes undoes one lockBytes of exactly these bytes.
func unlockBytes(h windows.Handle, lo, hi int64) error {
	at, low, high := lockArgs(lo, hi)
	return windows.UnlockFileEx(h, 0, low, high, at)
}

func lockArgs(lo, hi int64) (at *windows.Overlapped, low, high uint32) {
	n := uint64(hi - lo + 1)
	at = &windows.Overlapped{Offset: uint32(lo), OffsetHigh: uint32(lo >> 32)}
	return at, uint32(n), uint32(n >> 32)
}
