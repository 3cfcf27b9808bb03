package sys

import (
	"errors"
	"io/fs"
	"sync/atomic"
)

// A Call is something that the package can do without: a system call, or one
// command of one, that a kernel may lack and a sandbox may refuse.
//
// A refusal is remembered for the life of the process, in refused, and costs no
// further system call. Only what is a property of the process is remembered:
// a kernel does not gain calls while it runs, and a filter (seccomp) cannot be
// taken off. The kernel uses some of the same error numbers for a single file:
// EPERM of fallocate is also an immutable file, EOPNOTSUPP a file system. So
// after such an error [Call.try] repeats the call with arguments that concern
// no file and can do nothing: a descriptor of -1, or a length of 0. A kernel
// that has the call then reports EBADF, or success. A filter, which sees
// numbers only, and a kernel without the call refuse again, and that is the
// proof.
type Call uint8

const (
	// CallMincore is mincore(2). Without it Resident reads a byte of each page
	// with CallReadNowait, where there are few.
	CallMincore Call = iota
	// CallReadNowait is preadv2(2) with RWF_NOWAIT, which reads only what is in
	// memory. Without it Resident is unsupported where CallMincore is missing.
	CallReadNowait
	// CallPopulate is madvise(2) with MADV_POPULATE_READ and _WRITE. Without it
	// Populate reads the range, or prefetches it, and touches each page.
	CallPopulate
	// CallFallocate is fallocate(2) without a mode and with
	// FALLOC_FL_KEEP_SIZE, and what other systems have for it. Without it files
	// grow sparsely.
	CallFallocate
	// CallPunch is fallocate(2) with FALLOC_FL_PUNCH_HOLE. It has no
	// substitute.
	CallPunch
	// CallCopyFileRange is copy_file_range(2). Without it copies pass through
	// the process.
	CallCopyFileRange
	// CallFiclone is ioctl(2) with FICLONERANGE. Without it copies share no
	// blocks except by CallCopyFileRange.
	CallFiclone
	// CallSyncFileRange is sync_file_range(2). Without it write-back is left to
	// the kernel's own pace.
	CallSyncFileRange
	// CallSyncfs is syncfs(2). Without it a directory that cannot be synced, or
	// found again, is not made durable.
	CallSyncfs
	// CallOFD is fcntl(2) with F_OFD_SETLK. Locks of ranges have no substitute.
	CallOFD
	// CallFlock is flock(2). Locks of whole files have no substitute.
	CallFlock
	// CallStatfs is fstatfs(2). Without it a full disk is found by filling it.
	CallStatfs
	// CallStatx is statx(2). Without it the length of a file is found with
	// fstat(2).
	CallStatx
	// CallFiemap is ioctl(2) with FS_IOC_FIEMAP. Without it blocks that were
	// allocated and never written are taken for holes.
	CallFiemap
	// CallReserve stands for mapping more address space than a file has bytes,
	// which tests take away. Without it growing maps the file anew.
	CallReserve
	// callAdvice is the first of the advice of madvise(2), one call each: the
	// call of an [Advice] a is callAdvice+a.
	callAdvice
)

// The size of this array is negative if the calls do not fit a set.
type _ [64 - int(callAdvice) - int(PopulateWrite) - 1]struct{}

var (
	refused  atomic.Uint64                // the set that this process was refused, for good
	working  atomic.Uint64                // the set of which a test call has shown the effect
	disabled atomic.Uint64                // the set that a test has taken away
	counter  atomic.Pointer[func(c Call)] // called before each call, in tests
)

// Missing reports whether c is known to be refused, or disabled by a test.
func (c Call) Missing() bool { return (refused.Load()|disabled.Load())&c.bit() != 0 }

func (c Call) bit() uint64 { return 1 << c }

// works reports whether a test call has shown the effect of c.
func (c Call) works() bool { return working.Load()&c.bit() != 0 }

// refuse remembers that c is refused, and returns its error.
func (c Call) refuse() error {
	refused.Or(c.bit())
	return c.unsupported()
}

// count is called before each system call of c.
func (c Call) count() {
	if fn := counter.Load(); fn != nil {
		(*fn)(c)
	}
}

// try makes the system call fn of c, unless c is missing. If fn fails as a
// refused call does, probe repeats the call with arguments that can do nothing,
// see [Call]: if that is refused too, c is missing from now on.
func (c Call) try(fn, probe func() error) error {
	if c.Missing() {
		return c.unsupported()
	}
	c.count()
	err := fn()
	if err == nil || !refusal(err) {
		return err
	}
	c.count()
	if again := probe(); again != nil && refusal(again) {
		return c.refuse()
	}
	return err
}

// refusal reports whether err is what a filter or a kernel without the call
// returns: EPERM, EACCES, ENOSYS or EOPNOTSUPP.
func refusal(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported)
}

// unsupported returns the error of a call that is missing.
func (c Call) unsupported() error { return unsupportedCall(c) }

// unsupportedCall is the error of a call that is missing.
type unsupportedCall Call

func (c unsupportedCall) Error() string { return Call(c).String() + " is not available" }

// Is reports whether target is [errors.ErrUnsupported].
func (c unsupportedCall) Is(target error) bool { return target == errors.ErrUnsupported }

// String returns the name of the system call.
func (c Call) String() string {
	if c >= callAdvice {
		return "madvise(" + Advice(c-callAdvice).String() + ")"
	}
	return [...]string{
		CallMincore:       "mincore",
		CallReadNowait:    "preadv2(RWF_NOWAIT)",
		CallPopulate:      "madvise(MADV_POPULATE_*)",
		CallFallocate:     "fallocate",
		CallPunch:         "fallocate(FALLOC_FL_PUNCH_HOLE)",
		CallCopyFileRange: "copy_file_range",
		CallFiclone:       "ioctl(FICLONERANGE)",
		CallSyncFileRange: "sync_file_range",
		CallSyncfs:        "syncfs",
		CallOFD:           "fcntl(F_OFD_SETLK)",
		CallFlock:         "flock",
		CallStatfs:        "fstatfs",
		CallStatx:         "statx",
		CallFiemap:        "ioctl(FS_IOC_FIEMAP)",
		CallReserve:       "reserve",
	}[c]
}

// Disable makes c behave as if the system did not have it, so that a test
// reaches what is done instead. It holds for the whole process; calls may be
// nested, and each restore undoes its own Disable.
func Disable(c Call) (restore func()) {
	if disabled.Or(c.bit())&c.bit() != 0 {
		return func() {} // an outer Disable undoes it
	}
	return func() { disabled.And(^c.bit()) }
}

// Calls returns all that the package can do without.
func Calls() []Call {
	all := make([]Call, int(callAdvice)+int(PopulateWrite)+1)
	for i := range all {
		all[i] = Call(i)
	}
	return all
}

// CountCalls counts the optional system calls that the process makes until
// restore is called: those that fail, and those that only probe, included. It
// is for tests.
func CountCalls() (count func(Call) int, restore func()) {
	var n [64]atomic.Int64
	fn := func(c Call) { n[c].Add(1) }
	before := counter.Swap(&fn)
	return func(c Call) int { return int(n[c].Load()) }, func() { counter.Store(before) }
}
