// Package disk is a disk with a volatile cache, whose power can be cut at any
// moment, and which fails, lies and dawdles when it is told to.
//
//	the test or a worker    the kernel              the server, another process
//	────────────────────    ─────────────────       ───────────────────────────────
//	store, msync, ...   ──▶ ext4 or xfs             live  what the disk would read
//	                        loop device ──▶ FUSE ─▶ base  what it was at first
//	                                                log   each write and flush since
//	Cutter: base + log ──▶ image ──▶ loop, mount, check
//
// The loop driver turns a flush of the device into an fsync of the file under
// it, so the log has the flushes too. The image of a power cut after the first
// n records of the log has all writes that ended before the last flush began
// that had ended by then, and of the later ones a random choice: of three, one
// is there, one is there in some of its sectors of 512 bytes, one is lost. A
// seed repeats the choice. So one run of a program yields as many cuts as there
// are records, times as many seeds as one likes.
//
// The server is another process because a goroutine that waits for a page of a
// file system that its own process serves stops the garbage collector that the
// serving goroutine may be waiting for. It is the program itself, started
// again: [Main] must be called first in its main function or TestMain. It ends,
// with all that was mounted, when the disk is closed or the program ends in
// whatever way.
//
// The kernel lets no write to a file pass while it syncs it, so a disk never
// sees a write during a flush, whatever the programs above do.
//
// The same content is also one file of the FUSE mount ([Disk.File]): without a
// loop device reads are concurrent there, so that a delay of 1 ms a read makes
// the model of a slow disk.
//
// Everything here needs Linux, CAP_SYS_ADMIN, /dev/fuse and, except for that
// file, loop devices. The program runs in a mount namespace of its own, so that
// no other process keeps a file system in use and nothing stays mounted after a
// kill.
package disk
