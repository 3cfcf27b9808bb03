// Package sys is the one place of this module that makes system calls.
//
// Everything above it is portable Go. Each function is declared once, here,
// with its meaning, and forwards to a function of the same name in lower case,
// which the files for the platforms have. What a platform lacks is
// [errors.ErrUnsupported]. Errors are the bare causes, mostly errnos: the
// callers add the name of the file.
//
// Tests make the functions fail with [Inject], take away calls that the package
// can do without with [Disable], and count those with [CountCalls].
//
// Offsets into a [Mapping] count from its base and need no alignment: the
// functions widen a range to whole pages where the kernel wants that.
package sys

import (
	"errors"
	"io/fs"
	"os"
	"sync/atomic"
	"unsafe"
)

// ErrFault reports that a page could not be brought in where a plain access
// would have raised SIGBUS: the file is shorter, or the device failed or is
// full.
var ErrFault = errors.New("memory fault")

// Access is what may be done with the bytes of a mapping.
type Access uint8

const (
	Read      Access = iota // loads; stores of other mappings are seen
	ReadWrite               // loads and stores, shared with the file
	Copy                    // loads and stores, private to this mapping
	ReadExec                // loads and execution
)

// MapOptions describe a mapping to make.
type MapOptions struct {
	Access Access
	// Offset is that of the mapping's first byte in the file, a multiple of
	// [GranularityOf].
	Offset int64
	// Len is the number of bytes that exist in the file from Offset on, or the
	// length of an anonymous mapping. It may be 0 when Reserve is not.
	Len int64
	// Reserve is the address space wanted from the base on, at least Len. On
	// platforms with [CanReserve] the file is mapped over all of it, so that a
	// file that grows needs no new mapping: touching bytes beyond its last page
	// faults. Elsewhere it is ignored. Anonymous and private memory is accessible
	// up to Len only, so that no policy charges for the rest; [Mapping.Extend]
	// moves that end.
	Reserve int64
	// Unit is what [GranularityOf] has returned for the file; 0 has Map ask.
	Unit int64
	// Huge asks for transparent huge pages; it is a hint.
	Huge bool
	// Stack asks for memory fit for a thread's stack; anonymous mappings only.
	Stack bool
}

// Mapping is a stretch of address space backed by a file or by nothing. Its
// methods may be called concurrently, except Unmap, which must come last.
type Mapping struct {
	base   unsafe.Pointer
	size   int64         // bytes mapped from base on, the reservation included
	file   *os.File      // nil when anonymous; borrowed, must outlive the mapping's calls
	offset int64         // of base in file
	access Access        // as mapped; Protect does not change what Sync may do
	page   int64         // unit of the mapping: larger than a page on hugetlbfs
	usable int64         // bytes from base on that are accessible; Extend's and Protect's
	now    Access        // as Protect has left it; Extend's and Protect's
	locks  bool          // mlockall(MCL_FUTURE) is on: what becomes usable is locked
	truth  atomic.Uint32 // whether mincore is honest about the file, see mincoreHonest
}

// Map maps f, or anonymous memory when f is nil.
func Map(f *os.File, o MapOptions) (*Mapping, error) {
	if err := injected(OpMmap); err != nil {
		return nil, err
	}
	return mmap(f, o)
}

// Base returns the address of the first byte.
func (m *Mapping) Base() unsafe.Pointer { return m.base }

// Room returns the number of bytes of address space from Base on: the
// reservation if it could be obtained, else Len, rounded up to whole pages on
// Unix.
func (m *Mapping) Room() int64 { return m.size }

// Unmap returns the whole stretch to the system. The mapping must not be used
// again.
func (m *Mapping) Unmap() error {
	if err := injected(OpMunmap); err != nil {
		return err
	}
	return m.unmap()
}

// Protect changes what may be done with the whole mapping, the reservation
// included, so that the kernel never splits it. Where memory comes from the
// heap ([MapsFiles]) no store is prevented: only executing is refused, with
// [errors.ErrUnsupported].
func (m *Mapping) Protect(a Access) error {
	if err := injected(OpMprotect); err != nil {
		return err
	}
	return m.protect(a)
}

// Extend makes the first n bytes of a reservation accessible. What was
// accessible stays so. Extend and Protect must not be called concurrently.
func (m *Mapping) Extend(n int64) error {
	if n <= m.usable {
		return nil
	}
	if err := injected(OpMprotect); err != nil {
		return err
	}
	return m.extend(n)
}

// Sync makes the bytes [off, off+n) durable, and the file's length with them:
// after it they survive a power cut. An anonymous mapping has nothing to do.
func (m *Mapping) Sync(off, n int64) error {
	if err := injected(OpMsync); err != nil {
		return err
	}
	return m.sync(off, n)
}

// Advise tells the kernel how [off, off+n) will be used. The range is widened
// to whole pages, except for advice that loses bytes: [Free], [Remove], and
// [DontNeed] of private or anonymous memory take the whole pages inside it. On
// Linux an advice for a part of a mapping may split it in the kernel, where
// each piece then has a device flush of its own. An advice that the kernel
// lacks or that a sandbox refuses is [errors.ErrUnsupported].
func (m *Mapping) Advise(a Advice, off, n int64) error {
	if err := injected(OpMadvise); err != nil {
		return err
	}
	return m.advise(a, off, n)
}

// Resident counts the pages of [off, off+n) that are in memory, and all of
// them. In memory is the page cache on Unix and the working set of this process
// on Windows. It returns [errors.ErrUnsupported] where the kernel does not say
// it truly of this file.
func (m *Mapping) Resident(off, n int64) (pages, of int64, err error) {
	if err := injected(OpMincore); err != nil {
		return 0, 0, err
	}
	return m.resident(off, n)
}

// ResidentAtOnce reports whether Resident looks at many pages by one system call.
// It is false where it makes one for each, and where it is not supported at all.
func ResidentAtOnce() bool { return residentAtOnce() }

// Populate brings [off, off+n) into memory within a system call, so that the
// goroutine gives its P away while it waits; with write, pages are made
// writable and allocated too. Every byte keeps its value, also one that is
// being stored meanwhile. A page that cannot be obtained is [ErrFault]. Where
// the system has no such call (Linux before 5.14, others), the range is read or
// prefetched and then touched.
func (m *Mapping) Populate(off, n int64, write bool) error {
	if err := injected(OpMadvise); err != nil {
		return err
	}
	return m.populate(off, n, write)
}

// LockMemory keeps [off, off+n) in memory.
func (m *Mapping) LockMemory(off, n int64) error {
	if err := injected(OpMlock); err != nil {
		return err
	}
	return m.lockMemory(off, n)
}

// UnlockMemory undoes LockMemory.
func (m *Mapping) UnlockMemory(off, n int64) error {
	if err := injected(OpMlock); err != nil {
		return err
	}
	return m.unlockMemory(off, n)
}

// Discard zeroes [off, off+n) of an anonymous mapping and returns the whole
// pages in it to the system.
func (m *Mapping) Discard(off, n int64) error {
	if err := injected(OpMadvise); err != nil {
		return err
	}
	return m.discard(off, n)
}

// OpenFile is [os.OpenFile] for regular files, whose names can be removed and
// renamed while they are open, which package os does not allow on Windows. Its
// errors have a path. Where files cannot be mapped it returns
// [errors.ErrUnsupported], before anything is created or emptied in vain.
func OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return openFile(name, flag, perm)
}

// Duplicate returns another descriptor of the same open file, which child
// processes do not inherit. Position and flags are shared with f.
func Duplicate(f *os.File) (*os.File, error) { return duplicate(f) }

// OpenMode returns what the descriptor allows: [os.O_RDONLY], [os.O_WRONLY] or
// [os.O_RDWR], and [os.O_APPEND] with it where every write goes to the end. One
// that allows neither reading nor writing is [fs.ErrPermission].
func OpenMode(f *os.File) (int, error) { return openMode(f) }

// DeviceSize returns the size of a block device, or [errors.ErrUnsupported] of
// a device that reports none.
func DeviceSize(f *os.File) (int64, error) { return deviceSize(f) }

// NewShared returns an empty file without a name in any directory, open for
// reading and writing: memory, where the system has such files. name is what
// the system shows of it, if anything.
func NewShared(name string) (*os.File, error) { return newShared(name) }

// Truncate sets the length of the file.
func Truncate(f *os.File, size int64) error {
	if err := injected(OpTruncate); err != nil {
		return err
	}
	return truncate(f, size)
}

// Allocate gives [off, off+n) of the file blocks, extending it to off+n where
// it is shorter; bytes that are there keep their values and new ones are zero.
// It returns [errors.ErrUnsupported] where the file system cannot promise that.
// After another error the file may have become longer by a part of the range.
func Allocate(f *os.File, off, n int64) error {
	if err := injected(OpFallocate); err != nil {
		return err
	}
	return allocate(f, off, n)
}

// FillHoles gives blocks to the holes in [off, off+n) of the file, which lies
// within it. The length stays, also when another process shortens the file
// meanwhile; only on FreeBSD and NFS such a file may become as long as the
// range again. It returns [errors.ErrUnsupported] where holes cannot be filled.
func FillHoles(f *os.File, off, n int64) error {
	if err := injected(OpFallocate); err != nil {
		return err
	}
	return fillHoles(f, off, n)
}

// Allocated returns the number of bytes of blocks that the file occupies.
func Allocated(f *os.File) (int64, error) { return allocated(f) }

// FreeSpace returns the number of bytes that this process may still write to
// the file system of f: [math.MaxInt64] where the file system has no limit or
// does not report it.
func FreeSpace(f *os.File) (int64, error) {
	if err := injected(OpStatfs); err != nil {
		return 0, err
	}
	return freeSpace(f)
}

// PunchHole makes [off, off+n) of the file read as zero and frees its whole
// blocks; the length stays.
func PunchHole(f *os.File, off, n int64) error {
	if err := injected(OpPunch); err != nil {
		return err
	}
	return punchHole(f, off, n)
}

// StartWriteback begins writing the dirty pages of [off, off+n) and waits for
// nothing. It promises no durability.
func StartWriteback(f *os.File, off, n int64) error {
	if err := injected(OpSyncFileRange); err != nil {
		return err
	}
	return startWriteback(f, off, n)
}

// AwaitWriteback waits for write-back of [off, off+n) that is under way, and
// begins none. Its error is one that the kernel has met writing any part of the
// file and has not yet reported to this open file: it reports each once.
func AwaitWriteback(f *os.File, off, n int64) error {
	if err := injected(OpSyncFileRange); err != nil {
		return err
	}
	return awaitWriteback(f, off, n)
}

// CopyRange copies n bytes of src to dst inside the kernel, sharing blocks
// where the file system can, and returns how many it copied. It returns
// [errors.ErrUnsupported] where that is not available for these files, possibly
// after some bytes, and [io.ErrUnexpectedEOF] when src ends before n bytes.
func CopyRange(dst *os.File, dstOff int64, src *os.File, srcOff, n int64) (int64, error) {
	if err := injected(OpCopyFileRange); err != nil {
		return 0, err
	}
	return copyRange(dst, dstOff, src, srcOff, n)
}

// SyncFile makes the file durable: data, length and all metadata, through the
// drive's cache.
func SyncFile(f *os.File) error {
	if err := injected(OpFsync); err != nil {
		return err
	}
	return syncFile(f)
}

// PageSize returns the size of a page of memory.
func PageSize() int64 { return pageSize() }

// Granularity returns what the offset of a mapping must be a multiple of.
func Granularity() int64 { return granularity() }

// GranularityOf returns [Granularity] for mappings of f: on hugetlbfs it is the size
// of the huge pages. info is what f.Stat has returned, or nil, which costs a
// system call.
func GranularityOf(f *os.File, info fs.FileInfo) int64 { return granularityOf(f, info) }

// MapsFiles reports whether files can be mapped at all. Where they cannot,
// [OpenFile] opens none, and anonymous memory comes from the heap.
const MapsFiles = mapsFiles

// CanReserve reports whether a file can be mapped over more address space than
// it has bytes, to grow into: on 64-bit Unix.
const CanReserve = canReserve

// ExecIsFixed reports whether a mapping of a file can be executable only if it was
// mapped that way.
const ExecIsFixed = execIsFixed

// ShrinkNeedsUnmap reports whether a file cannot be shortened while any mapping
// of it lives.
const ShrinkNeedsUnmap = shrinkNeedsUnmap
