// Package lock has advisory file locks that are waited for in a queue: in
// order, with a context, and without blocking a thread or, with
// [Lock.AcquireFunc], even a goroutine.
//
//	l := lock.New(f)
//	if err := l.Acquire(ctx, lock.Exclusive); err != nil {
//		return err
//	}
//	defer l.Release()
//
// Locks on whole files ([New]) are flock(2), and LockFileEx on Windows, so that
// they exclude flock(1), the go command's own locks, and all others that use
// these calls. Locks on ranges ([Lock.Range]) are open-file-description locks,
// see fcntl(2). Both are advisory: they exclude other locks, not reading and
// writing.
//
// # Which locks exclude each other
//
// A [Lock] is one holder. Two goroutines that are to exclude each other use two
// Locks, of one [os.File] or of several of the same file: the process keeps a
// table of its locks, held and waiting, by the identity of the file
// (device and inode, volume and file index). The kernel would not exclude locks
// that share an open file. For each open file it is told the strongest mode
// that any holder wants there. [Lock.Nested] returns a holder that one other
// does not block.
//
// Descriptors made by dup(2), or inherited by a child process, share the lock
// of the open file, and releasing it through one releases it for all: use one
// os.File. The descriptors of package os are not inherited unless requested.
//
// # How a lock is waited for
//
// A file that is locked or waited for has an entry in the table, with a queue.
// A waiter blocked by this process sleeps; the Release or cancellation that
// unblocks it also grants it its lock. A waiter blocked only by another process
// polls. At most one waiter per range polls.
//
//	          Acquire, AcquireFunc
//	                   │ at the end, or before requests that wait for this lock
//	                   ▼
//	┌──────────────────────────────────┐  the kernel refuses: pause, try again
//	│ head   shared     polls          │ ◀──┐ (50 µs growing to 20 ms, jittered,
//	│        shared     sleeps         │ ───┘  by a timer)
//	│        exclusive  sleeps         │
//	│        shared     sleeps         │ ──── context done: leaves, those behind may go
//	└──────────────────────────────────┘
//	                   │ the kernel agrees: the head is granted, then the next, until
//	                   ▼ one must stay
//	             holders: shared, shared ──── Release: removed, the queue is looked at
//
// A release that hands a whole file on to another Lock of the same os.File
// makes no system call; otherwise it makes two. A process whose goroutines hand
// a lock on among themselves would keep other processes from it for ever; so it
// leaves the lock alone for one millisecond in every fifty. (Shared holds that
// overlap without a waiter in this process are not handed on, and can keep a
// writer of another process waiting, as they can with flock(2) itself.)
//
// Waiting costs the memory of the waiter. A call looks at the holders and
// waiters of its own bytes, in a time that grows with the logarithm of how many
// others there are. A holder that is killed, kill -9 included, leaves the lock
// free: the system releases it, and the head of each queue finds that at its
// next attempt, at most 20 ms later.
//
// # What the system does not provide
//
//   - Converting a lock on a whole file is not one step for the kernel: flock(2)
//     releases the shared lock before it looks whether the exclusive one is
//     available. After a refusal the shared lock is taken again. If another process
//     was faster the error is [ErrLost], and nothing is held. Ranges on Linux convert
//     in one step.
//   - Locks on whole files and on ranges do not see each other, neither in the
//     process nor, on local file systems, in the kernel. (Over NFS, Linux turns the
//     one into the other: see flock(2).) Use one kind for a file.
//   - A lock is on a file, not on its name. A program that locks a name that may be
//     replaced must check, once the lock is held, that the name still is that file
//     ([os.SameFile]).
//   - On most file systems of Linux a mapping keeps the open file, and so its locks,
//     after the file is closed: release first. On overlayfs, as in containers, the
//     mapping is of the file below, and closing releases the locks.
//   - Whole files cannot be locked on AIX, Plan 9, js and wasip1, and ranges only on
//     Linux and Windows: elsewhere the error is [errors.ErrUnsupported]. POSIX locks,
//     which AIX has, vanish when any descriptor of the file is closed.
//   - The race detector sees locks that exclude goroutines of this process, and none
//     of other processes.
//
// # Inside
//
// Lock order: entry.mu, then table.mu. System calls are made while entry.mu,
// which belongs to one file, is held: they do not wait for locks, but a network
// file system may take its time. Outcomes are delivered while neither is held.
package lock
