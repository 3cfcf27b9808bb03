// Package lock has advisory file locks that are waited for in a queue: in order, with a context, and without
// a thread or, with [Lock.AcquireFunc], even a goroutine being blocked.
//
//	l := lock.New(f)
//	if err := l.Acquire(ctx, lock.Exclusive); err != nil {
//		return err
//	}
//	defer l.Release()
//
// Locks on whole files ([New]) are flock(2), and LockFileEx on Windows, so that they meet flock(1), the go
// command's own locks, and whoever else uses these calls. Locks on ranges ([Lock.Range]) are open-file-description
// locks, see fcntl(2). Both are advisory: they keep out who asks for a lock, and nobody from reading or writing.
//
// # Who excludes whom
//
// A [Lock] is one holder. Two goroutines that are to exclude each other use two Locks, of one [os.File] or of
// several of the same file: the process keeps a table of what its locks hold and wait for, by the identity
// of the file (device and inode, volume and file index). The system would not keep apart who shares an open file. It
// is told, for each open file, the strongest mode that any holder wants there. [Lock.Nested] gives a holder whom one
// other does not keep out.
//
// Descriptors made by dup(2), or inherited by a child process, share the lock of the open file, and giving it back
// through one gives it back for all: use one os.File. The descriptors of package os are not inherited unless asked.
//
// # How a lock is waited for
//
// A file that somebody holds or waits for has an entry in the table, with a queue. Who is blocked by a holder of
// this process, or by somebody before him, rests: the release or the cancellation that frees him also serves him.
// Who is blocked by another process alone polls, which can be but the first of those who want the same bytes.
//
//	          Acquire, AcquireFunc
//	                   │ at the end, or before those who wait for what one holds
//	                   ▼
//	┌──────────────────────────────────┐  the system says no: pause, look again
//	│ head   shared     polls          │ ◀──┐ (50 µs growing to 20 ms, jittered,
//	│        shared     rests          │ ───┘  by a timer)
//	│        exclusive  rests          │
//	│        shared     rests          │ ──── context done: leaves, who stood behind may go
//	└──────────────────────────────────┘
//	                   │ the system says yes: the head is told; next, until one must stay
//	                   ▼
//	             holders: shared, shared ──── Release: off the holders, the queue is looked at
//
// A release that hands a whole file on to another Lock of the same os.File makes no system call at all; otherwise it makes
// two. So that a process whose goroutines hand a lock on among themselves does not keep other processes from it for ever, it
// leaves it alone for one millisecond in every fifty. (Shared holds that overlap without a waiter in this process are
// not handed on, and can keep a writer of another process waiting, as flock(2) itself lets them.)
//
// Waiting costs the memory of the waiter. A holder that is killed, kill -9 included, leaves the lock free: the
// system gives it back, and the head of each queue finds it at its next look, 20 ms later at most.
//
// # What the system does not give
//
//   - Converting a lock on a whole file is not one step for the system: flock(2) drops the shared lock before it looks
//     whether the exclusive one can be had. A refusal is followed by taking the shared lock again. If another process was
//     faster the error is [ErrLost], and nothing is held. Ranges on Linux convert in one step.
//   - Locks on whole files and on ranges do not see each other, neither in the process nor, on local file systems,
//     in the system. (Over NFS, Linux turns the one into the other: see flock(2).) Use one kind for a file.
//   - A lock is on a file, not on its name. Who locks a name that may be replaced must look, once the lock is held, whether
//     the name is still that file ([os.SameFile]).
//   - A mapping keeps the open file, and so its locks, after the file is closed: release first.
//   - Whole files cannot be locked on AIX, Plan 9, js and wasip1, and ranges but on Linux and Windows:
//     the error is [errors.ErrUnsupported]. POSIX locks, which AIX has, vanish when any descriptor of the file is closed.
//   - The race detector sees locks that exclude goroutines of this process, and none of other processes.
//
// # Inside
//
// Lock order: entry.mu, then table.mu. The calls of the system are made under entry.mu, which is one file's alone: they wait
// for no lock, but a network file system may take its time. Those who are told their outcome are told under neither.
package lock
