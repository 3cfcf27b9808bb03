//go:build unix

package sys

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// RLIMIT_AS counts reservations, and a file system has its longest file.
func TestReservationRefused(t *testing.T) {
	testWithoutReservation(t, func() (restore func()) {
		calls := 0
		mmapCall = func(fd int, off int64, at unsafe.Pointer, n uintptr, prot, flags int) (unsafe.Pointer, error) {
			if calls++; calls == 1 {
				return nil, unix.ENOMEM
			}
			return unix.MmapPtr(fd, off, at, n, prot, flags)
		}
		return func() {
			mmapCall = unix.MmapPtr
			if calls != 2 {
				t.Errorf("%d calls of mmap, want a second without the reservation", calls)
			}
		}
	})
}
