package core

//lint:file-ignore ST1005 errors of options begin with the name of a field

import (
	"fmt"
	"io/fs"
	"math"
	"os"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/lock"
)

// Access is what may be done through a mapping.
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

// String returns "read-only", "read-write", "copy-on-write" or "read-exec".
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

// mapping returns what the access means to the layer below.
func (a Access) mapping() sys.Access {
	return [...]sys.Access{ReadOnly: sys.Read, ReadWrite: sys.ReadWrite, CopyOnWrite: sys.Copy, ReadExec: sys.ReadExec}[a]
}

// Options describe how [OpenFile] opens and maps a file, and how [Map] maps one
// that is open. The zero value maps an existing file for reading, whole, under a
// shared lock.
//
// Options are checked before anything is changed. The error of options that
// contradict each other names them and is [fs.ErrInvalid]; an impossible range
// is [ErrRange]; what changes a file that is not opened [ReadWrite] is
// [ErrReadOnly].
type Options struct {
	// Access to the bytes. Everything that would change the file needs ReadWrite.
	// CopyOnWrite is no snapshot: a page shows what other processes store in the
	// file until the first store to it through this mapping.
	Access Access
	// Create creates the file when it is absent.
	Create bool
	// Exclusive, with Create, fails with [fs.ErrExist] when the file is present.
	Exclusive bool
	// Truncate empties an existing file first, once the lock is held and the
	// options are known to be valid.
	Truncate bool
	// Size is the least length of the file once it is open, in bytes. New bytes
	// are zero.
	Size int64
	// Perm is the mode of a created file before umask; 0 means 0o644.
	Perm fs.FileMode
	// Flags are further flags for [os.OpenFile], such as os.O_SYNC. Those that
	// this structure has a field for, and os.O_APPEND, are refused.
	Flags int
	// Offset is where in the file the window starts. It needs no alignment.
	Offset int64
	// Length of the window; 0 means up to the end of the file, wherever that
	// moves.
	Length int64
	// Reserve is the address space kept free behind the window, so that growing
	// never moves it. It takes no memory. 0 means as much as the window, and at
	// least 1 GiB together, on 64-bit Unix, and none elsewhere, on hugetlbfs, or
	// where a limit forbids it.
	Reserve int64
	// Sparse leaves holes without blocks. A store into one faults when the disk
	// is full. Without Sparse, opening [ReadWrite] gives blocks to the holes that
	// the window already has, where the file system can: a file of 1 TiB with
	// holes takes 1 TiB of disk from then on, or fails to open.
	Sparse bool
	// WrittenAhead writes zeros, which reach the device, wherever opening, Truncate
	// or closing makes the file longer, before that returns. Otherwise new blocks
	// are unwritten extents where the file system has such, and the first flush
	// of each has to change the extents of the file as well, which costs a
	// commit of the journal. It is for logs and other files whose bytes are each
	// stored once and then flushed, and makes them longer as slowly as the device
	// writes. Until they are evicted, what a File has written ahead lies in folios of
	// one page, so that it makes the second store to one since a flush through the
	// map, where others are from the 32nd on. It needs the lock, since zeros would
	// replace what another process stores there meanwhile, and cannot be used with
	// Sparse. Windows shortens no file that is mapped, so there a growth that fails
	// leaves the file longer than its window.
	WrittenAhead bool
	// Populate brings the whole window into memory before OpenFile returns.
	Populate bool
	// HugePages asks for transparent huge pages. It is a hint.
	HugePages bool
	// Stack asks for memory fit for a thread's stack; [NewAnonymous] only.
	Stack bool
	// NoLock opens without the advisory lock, which is otherwise taken: exclusive
	// for ReadWrite, shared for the others.
	NoLock bool
	// Wait waits for the lock when it is held, instead of failing with
	// [lock.ErrLocked]. Those of this process that wait are served in order, see
	// [lock.Lock.Acquire]; each has a descriptor of the file.
	//
	// Before the lock is held nothing happens, except that Create creates an
	// empty file. If the name means another file by then, that one is opened, and
	// its lock waited for; if it is gone, the file is absent. [OpenFileContext]
	// bounds the wait: a goroutine that has the file open itself waits in vain.
	Wait bool
	// Stores is the way of the copying stores: WriteAt, Zero, Writer, Put and
	// what is made of them. View, Update and pins always are the mapping.
	//
	// Through the mapping, the first store to a page since its last flush is a
	// page fault: the goroutine holds its P while it waits for the file system,
	// and the kernel takes the whole folio for changed, up to some MiB, so that
	// the next flush writes that much. By a system call a store changes, and a
	// flush writes, the pages that it touches. ViaEither uses system calls for
	// the first stores to a page since its last flush, and the mapping from then
	// on, on Linux with ext4, xfs and btrfs, without O_APPEND, O_DIRECT and O_SYNC,
	// and as long as the opened file holds its lock: a process that shortened
	// the file without the lock, at the very moment of such a store, would find
	// it as long again as the end of the store. Everywhere else, and for
	// stores that a system call refuses, it is ViaMap.
	//
	// ViaCall does without the lock what ViaEither does with it, for files that
	// no process shortens.
	Stores Via
	// Reads is the way of the copying reads: ReadAt, Clone, Reader, Get, Next and
	// what is made of them. View, Update and pins always are the mapping.
	//
	// Through the mapping, a read of a page that is not in memory is a page fault:
	// the goroutine holds its P until the device has responded, so that not even
	// a timer fires on it meanwhile. In a system call it gives the P away.
	// ViaEither reads from the mapping what was seen to be in memory at most
	// 0.8 s ago, and anything else by system calls: by reads on Linux with ext4, xfs
	// and btrfs, without O_DIRECT, and elsewhere, and for CopyOnWrite, by one
	// that brings the pages in, followed by a copy from the mapping. That costs a
	// system call per page and 0.8 s, or per 128 KiB if all of that is in memory.
	// ViaMap reads from the mapping alone, as memory without a file and devices
	// always do, and ViaCall by system calls alone.
	Reads Via
	// RemoveOnClose removes the name when the file is closed, if it still means
	// the file: one that has been renamed keeps its new name. A process that is
	// killed leaves the file behind. So does a Close, which then returns an error,
	// when the directory cannot be opened again: when the process may have no
	// further descriptor, or has changed its root.
	RemoveOnClose bool
}

const (
	ownedFlags  = os.O_RDONLY | os.O_WRONLY | os.O_RDWR | os.O_CREATE | os.O_EXCL | os.O_TRUNC | os.O_APPEND
	modeBits    = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	defaultPerm = fs.FileMode(0o644)
)

// maxAddress is the longest window that a slice can be laid over.
const maxAddress = math.MaxInt

// minReserve is a variable only for tests: an emulator takes long to reserve so
// much.
var minReserve int64 = 1 << 30

// A source is what a file is made of.
type source uint8

const (
	named      source = iota // OpenFile
	descriptor               // Map
	anonymous                // NewAnonymous
	shared                   // NewShared
)

// refused is an option that its function has no use for, if it is set.
type refused struct {
	name string
	set  bool
}

// refuse returns the error of the first option that is set.
func refuse(why string, all ...refused) error {
	for _, r := range all {
		if r.set {
			return fmt.Errorf("%s %s: %w", r.name, why, fs.ErrInvalid)
		}
	}
	return nil
}

// lockMode returns the mode of the lock that opening takes.
func (o Options) lockMode() lock.Mode {
	if o.Access == ReadWrite {
		return lock.Exclusive
	}
	return lock.Shared
}

// check reports what is wrong with the options by themselves.
func (o Options) check(s source) error {
	switch {
	case o.Access > ReadExec:
		return fmt.Errorf("Access is %d: %w", o.Access, fs.ErrInvalid)
	case o.Stores > ViaCall:
		return fmt.Errorf("Stores is %d: %w", o.Stores, fs.ErrInvalid)
	case o.Reads > ViaCall:
		return fmt.Errorf("Reads is %d: %w", o.Reads, fs.ErrInvalid)
	case o.Perm&^modeBits != 0:
		return fmt.Errorf("Perm has the bits %v, which no file is created with: %w", o.Perm&^modeBits, fs.ErrInvalid)
	case o.Flags&ownedFlags != 0:
		return fmt.Errorf("Flags has %#x, for which Options has fields, or which cannot be: %w", o.Flags&ownedFlags, fs.ErrInvalid)
	case o.Wait && o.NoLock:
		return fmt.Errorf("Wait, which is for the lock, with NoLock: %w", fs.ErrInvalid)
	case o.WrittenAhead && o.Sparse:
		return fmt.Errorf("WrittenAhead with Sparse, which leaves out the blocks: %w", fs.ErrInvalid)
	case o.WrittenAhead && o.NoLock:
		return fmt.Errorf("WrittenAhead, which needs the lock, with NoLock: %w", fs.ErrInvalid)
	case o.Exclusive && !o.Create:
		return fmt.Errorf("Exclusive without Create: %w", fs.ErrInvalid)
	}
	for _, c := range []struct {
		name  string
		value int64
	}{{"Size", o.Size}, {"Offset", o.Offset}, {"Length", o.Length}, {"Reserve", o.Reserve}} {
		if c.value < 0 {
			return fmt.Errorf("%s %d is negative: %w", c.name, c.value, ErrRange)
		}
	}
	switch {
	case o.Offset > math.MaxInt64-o.Length:
		return fmt.Errorf("Offset %d and Length %d are more than a file can have: %w", o.Offset, o.Length, ErrRange)
	case o.Length > math.MaxInt:
		return fmt.Errorf("Length %d is more than the address space: %w", o.Length, ErrRange)
	}
	switch s {
	case anonymous, shared:
		why := map[source]string{
			anonymous: "is for files, and NewAnonymous has none",
			shared:    "is not for NewShared",
		}[s]
		return refuse(why, refused{"Create", o.Create}, refused{"Truncate", o.Truncate},
			refused{"Flags", o.Flags != 0}, refused{"Offset", o.Offset != 0}, refused{"Length", o.Length != 0},
			refused{"RemoveOnClose", o.RemoveOnClose}, refused{"Wait", o.Wait}, refused{"Stack", o.Stack && s == shared},
			refused{"Stores", o.Stores != ViaEither}, refused{"Reads", o.Reads != ViaEither}, refused{"WrittenAhead", o.WrittenAhead})
	case descriptor:
		err := refuse("is for OpenFile, and Map is given an open file", refused{"Create", o.Create},
			refused{"Perm", o.Perm != 0}, refused{"Flags", o.Flags != 0})
		if err != nil {
			return err
		}
	}
	if o.Stack {
		return fmt.Errorf("Stack is for NewAnonymous alone: %w", fs.ErrInvalid)
	}
	if o.Access == ReadWrite {
		return nil
	}
	for _, c := range []struct {
		name string
		set  bool
	}{{"Create", o.Create}, {"Truncate", o.Truncate}, {"Size", o.Size > 0}} {
		if c.set {
			return fmt.Errorf("%s needs Access to be ReadWrite, and it is %v: %w", c.name, o.Access, ErrReadOnly)
		}
	}
	return nil
}

// window returns the length of the window on a file of the given size.
func (o Options) window(size int64) int64 {
	n := max(size-o.Offset, 0)
	if o.Length > 0 {
		n = min(n, o.Length)
	}
	return n
}

// fits reports whether the window lies within a file of the given size, and
// within the address space.
func (o Options) fits(size int64) bool {
	return o.Offset <= size-o.Length && o.window(size) <= math.MaxInt
}

// room returns the address space to map for a window of n bytes: what it needs,
// and the reservation.
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
