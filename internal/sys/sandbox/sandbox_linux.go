//go:build amd64 || arm64

package sandbox

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A call is what a filter sees of one: its number and, unless values is empty,
// one argument that has one of the values.
type call struct {
	number uint32
	arg    uint32
	values []uint32
}

// calls has those that the library can do without, by the names that package
// sys has for them, and some that it does not make and that package os or the
// runtime might.
var calls = map[string]call{
	"mincore":                         {number: unix.SYS_MINCORE},
	"preadv2(RWF_NOWAIT)":             {unix.SYS_PREADV2, 5, []uint32{unix.RWF_NOWAIT}},
	"pwritev2":                        {number: unix.SYS_PWRITEV2},
	"fallocate":                       {number: unix.SYS_FALLOCATE},
	"fallocate(FALLOC_FL_PUNCH_HOLE)": {unix.SYS_FALLOCATE, 1, []uint32{unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE}},
	"copy_file_range":                 {number: unix.SYS_COPY_FILE_RANGE},
	"ioctl(FICLONERANGE)":             {unix.SYS_IOCTL, 1, []uint32{unix.FICLONERANGE}},
	"sync_file_range":                 {number: unix.SYS_SYNC_FILE_RANGE},
	"fcntl(F_OFD_SETLK)":              {unix.SYS_FCNTL, 1, []uint32{unix.F_OFD_SETLK, unix.F_OFD_SETLKW, unix.F_OFD_GETLK}},
	"fstatfs":                         {number: unix.SYS_FSTATFS},
	"statx":                           {number: unix.SYS_STATX},
	"process_madvise":                 {number: unix.SYS_PROCESS_MADVISE},
	"cachestat":                       {number: unix.SYS_CACHESTAT},
	"io_uring_setup":                  {number: unix.SYS_IO_URING_SETUP},
	"madvise(MADV_RANDOM)":            advice(unix.MADV_RANDOM),
	"madvise(MADV_SEQUENTIAL)":        advice(unix.MADV_SEQUENTIAL),
	"madvise(MADV_WILLNEED)":          advice(unix.MADV_WILLNEED),
	"madvise(MADV_FREE)":              advice(unix.MADV_FREE),
	"madvise(MADV_REMOVE)":            advice(unix.MADV_REMOVE),
	"madvise(MADV_DONTFORK)":          advice(unix.MADV_DONTFORK),
	"madvise(MADV_MERGEABLE)":         advice(unix.MADV_MERGEABLE),
	"madvise(MADV_HUGEPAGE)":          advice(unix.MADV_HUGEPAGE, unix.MADV_NOHUGEPAGE),
	"madvise(MADV_DONTDUMP)":          advice(unix.MADV_DONTDUMP, unix.MADV_DODUMP),
	"madvise(MADV_COLD)":              advice(unix.MADV_COLD),
	"madvise(MADV_PAGEOUT)":           advice(unix.MADV_PAGEOUT),
	"madvise(MADV_COLLAPSE)":          advice(unix.MADV_COLLAPSE),
	"madvise(MADV_POPULATE_*)":        advice(unix.MADV_POPULATE_READ, unix.MADV_POPULATE_WRITE),
	"madvise(MADV_POPULATE_READ)":     advice(unix.MADV_POPULATE_READ),
	"madvise(MADV_POPULATE_WRITE)":    advice(unix.MADV_POPULATE_WRITE),
}

// advice is madvise with one of the advice given.
func advice(values ...uint32) call { return call{unix.SYS_MADVISE, 2, values} }

var results = map[string]unix.Errno{
	"0":          0,
	"EPERM":      unix.EPERM,
	"EACCES":     unix.EACCES,
	"ENOSYS":     unix.ENOSYS,
	"EINVAL":     unix.EINVAL,
	"EOPNOTSUPP": unix.EOPNOTSUPP,
}

func names() []string { return slices.Sorted(maps.Keys(calls)) }

// architectures has the audit number of those for which calls is right.
var architectures = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// Offsets in struct seccomp_data; an argument's low word comes first here.
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16
)

func install(all []refusal) error {
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	equal := func(k uint32, yes, no int) unix.SockFilter { // each a number of instructions to skip
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: uint8(yes), Jf: uint8(no)}
	}
	end := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
	}
	program := []unix.SockFilter{
		load(dataArch),
		equal(architectures[runtime.GOARCH], 1, 0),
		end(unix.SECCOMP_RET_ALLOW),
	}
	for _, r := range all {
		c, known := calls[r.name]
		e, possible := results[r.result]
		if !known || !possible {
			return fmt.Errorf("%s=%s: %w", r.name, r.result, errUnknown)
		}
		refuse := end(unix.SECCOMP_RET_ERRNO | uint32(e))
		n := len(c.values)
		if n == 0 {
			program = append(program, load(dataNumber), equal(c.number, 0, 1), refuse)
			continue
		}
		program = append(program, load(dataNumber), equal(c.number, 0, n+2), load(dataArgs+8*c.arg))
		for i, v := range c.values {
			no := 0
			if i == n-1 {
				no = 1
			}
			program = append(program, equal(v, n-1-i, no))
		}
		program = append(program, refuse)
	}
	program = append(program, end(unix.SECCOMP_RET_ALLOW))

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// TSYNC gives the filter to the threads that are already there. On failure
	// it returns the first that cannot take it.
	// In bounds: the kernel reads one SockFprog and Len instructions. Alive: it
	// copies both, and filter is an argument of the call.
	thread, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&filter)))
	runtime.KeepAlive(program)
	if e != 0 {
		return e
	}
	if thread != 0 {
		return fmt.Errorf("thread %d has a filter of its own", thread)
	}
	return nil
}
