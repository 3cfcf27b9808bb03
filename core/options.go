package core

import (
	"io/fs"
	"math"
	"os"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// Access says what may be done through a mapping.
type Access uint8

const (
	// ReadOnly maps the file for loads. Stores of other mappings are seen.
	ReadOnly Access = iota
	// ReadWrite maps the file for loads and stores, which reach the file.
	ReadWrite
	// CopyOnWrite maps the file for loads and for stores that stay private to
	// this mapping: nothing ever reaches the file.
	CopyOnWrite
	// ReadExec maps the file for loads and execution.
	ReadExec
)

func (a Access) String() string {
	switch a {
	case ReadOnly:
		return "read-only"
	case ReadWrite:
		return "read-write"
	case CopyOnWrite:
		return "copy-on-write"
	case ReadExec:
		return "read-exec"
	}
	return "unknown access"
}

// mapping is what the access means to the layer below.
func (a Access) mapping() sys.Access {
	return [...]sys.Access{ReadOnly: sys.Read, ReadWrite: sys.ReadWrite, CopyOnWrite: sys.Copy, ReadExec: sys.ReadExec}[a]
}

// Options say how [OpenFile] opens and maps a file. The zero value maps an
// existing file for reading, whole, under a shared lock.
//
// Options are checked before anything is changed: contradictions answer
// [fs.ErrInvalid], impossible ranges [ErrRange], and changes to a file that
// is not opened [ReadWrite] answer [ErrReadOnly].
type Options struct {
	// Access to the bytes. Everything that would change the file needs ReadWrite.
	Access Access
	// Create makes the file when it is absent.
	Create bool
	// Exclusive, with Create, fails with [fs.ErrExist] when the file is present.
	Exclusive bool
	// Truncate empties an existing file first, once the lock is held and the
	// options are known to be valid.
	Truncate bool
	// Size is the least length of the file once it is open, in bytes. New bytes are zero.
	Size int64
	// Perm is the mode of a created file before umask; 0 means 0o644.
	Perm fs.FileMode
	// Flags are further flags for [os.OpenFile], as os.O_SYNC. Those that this
	// structure has a field for, and os.O_APPEND, are refused.
	Flags int
	// Offset is where in the file the window starts. It needs no alignment.
	Offset int64
	// Length of the window; 0 means up to the end of the file, wherever that moves.
	Length int64
	// Reserve is the address space kept free behind the window, so that growing never
	// moves it. 0 means as much as the window, and at least 1 GiB together, on 64-bit
	// Unix, and none elsewhere or where a limit forbids it.
	Reserve int64
	// Sparse leaves holes without blocks. Stores into them fault when the disk is
	// full; without Sparse, blocks are allocated ahead where the file system can.
	Sparse bool
	// Populate brings the whole window into memory before OpenFile returns.
	Populate bool
	// HugePages asks for transparent huge pages. It is a hint.
	HugePages bool
	// Stack asks for memory fit for a thread's stack; [NewAnonymous] only.
	Stack bool
	// NoLock opens without the advisory lock, which is otherwise tried at once:
	// exclusive for ReadWrite, shared for the others.
	NoLock bool
	// RemoveOnClose unlinks the file when it is closed, if the name still means it.
	RemoveOnClose bool
}

const (
	ownedFlags  = os.O_RDONLY | os.O_WRONLY | os.O_RDWR | os.O_CREATE | os.O_EXCL | os.O_TRUNC | os.O_APPEND
	modeBits    = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	defaultPerm = fs.FileMode(0o644)
)

// maxAddress is the longest window that a slice can be laid over.
const maxAddress = math.MaxInt

// minReserve is a variable for tests alone: an emulator takes long to reserve so much.
var minReserve int64 = 1 << 30

// check finds what is wrong with the options by themselves.
func (o Options) check(anonymous bool) error {
	switch {
	case o.Access > ReadExec, o.Perm&^modeBits != 0, o.Flags&ownedFlags != 0, o.Exclusive && !o.Create:
		return fs.ErrInvalid
	case o.Size < 0, o.Offset < 0, o.Length < 0, o.Reserve < 0, o.Offset > math.MaxInt64-o.Length:
		return ErrRange
	case o.Length > math.MaxInt:
		return ErrRange // more than the address space can hold
	case anonymous:
		if o.Create || o.Truncate || o.Flags != 0 || o.Offset != 0 || o.Length != 0 || o.RemoveOnClose {
			return fs.ErrInvalid
		}
	case o.Stack:
		return fs.ErrInvalid
	case o.Access != ReadWrite && (o.Create || o.Truncate || o.Size > 0):
		return ErrReadOnly
	}
	return nil
}

// window is the length of the window on a file of the given size.
func (o Options) window(size int64) int64 {
	n := max(size-o.Offset, 0)
	if o.Length > 0 {
		n = min(n, o.Length)
	}
	return n
}

// fits reports whether the window asked for lies within a file of the given size,
// and within the address space.
func (o Options) fits(size int64) bool {
	return o.Offset <= size-o.Length && o.window(size) <= math.MaxInt
}

// room is the address space to map for a window of n bytes: what it needs, and the reservation.
func (o Options) room(n int64) int64 {
	if !sys.CanReserve {
		return max(n, o.Length)
	}
	switch {
	case o.Length > 0:
		return o.Length
	case o.Reserve > 0:
		return n + min(o.Reserve, math.MaxInt64-n)
	default:
		return max(2*min(n, math.MaxInt64/2), minReserve)
	}
}
