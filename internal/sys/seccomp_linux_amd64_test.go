package sys

import (
	"errors"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// underFilter runs fn in a thread of its own, to which a filter refuses the
// system call with e.
func underFilter(t *testing.T, call uint32, e unix.Errno, fn func()) {
	t.Helper()
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(e)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	installed := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the filter ends with the thread
		err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		if err == nil {
			// Alive: the filter is a local, and the kernel copies it.
			err = unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&filter)), 0, 0)
		}
		installed <- err
		if err == nil {
			fn()
		}
	}()
	<-done
	if err := <-installed; err != nil {
		t.Skipf("this system filters no calls: %v", err)
	}
}

// What a filter refuses says nothing of the pages, and must not count as a
// failed flush.
func TestWritebackUnderAFilter(t *testing.T) {
	f := newFile(t, 10_000)
	for _, e := range []unix.Errno{unix.EPERM, unix.ENOSYS} {
		unlearned(t)
		underFilter(t, unix.SYS_SYNC_FILE_RANGE, e, func() {
			for name, err := range map[string]error{"StartWriteback": StartWriteback(f, 0, 10), "AwaitWriteback": AwaitWriteback(f, 0, 10)} {
				if !errors.Is(err, errors.ErrUnsupported) {
					t.Errorf("%s: %v, want ErrUnsupported", name, err)
				}
			}
		})
	}
}
