// Package flush makes stores durable in groups: it turns many requests to flush
// ranges of a file into few calls of msync, and never serves a request by a
// flush that began before it.
//
// A flush ends with a flush of the device's cache, and that costs the same for
// one page as for many. Callers that each call msync pay it each; callers that
// ask a [Committer] share it. While one call runs, all further requests gather,
// and the next call serves them all: the slower the device, the larger the
// groups.
//
//	c := flush.NewCommitter(file, flush.Options{}) // a *core.File, or any Target
//
//	copy(page, record)                             // store,
//	err := c.Flush(ctx, off, n)                    // then wait until that is durable
//
// # The protocol
//
// A committer has at most one batch that runs and one that forms.
//
//	         Commit: a batch forms,             the runner seals it:
//	         a runner is requested              no request joins any more
//	┌──────┐ ────────────────────▶ ┌────────┐ ──────────────────────────▶ ┌─────────┐
//	│ idle │                       │ queued │                             │ running │
//	└──────┘ ◀──────────────────── └────────┘ ◀────────────────────────── └─────────┘
//	   ▲     refused or dropped:        over, and another batch has formed     │
//	   │     its members fail           meanwhile: it goes to the queue's tail │
//	   └───────────────────────────────────────────────────────────────────────┘
//	                  over, and no request has come meanwhile
//
// In phases queued and running, Commit joins the batch that forms. It is safe
// because a batch is sealed after the last member joined and before the call of
// the target.
//
//	member                      runner
//	1. store
//	2. join the forming batch
//	                            3. seal it: later requests join the next
//	                            4. FlushRange(hull of the ranges)
//	                            5. outcome, wake the members
//	6. durable
//
// Steps 2 and 3 are ordered by one lock, so that the store is made before the
// call reads the pages. Were 3 to come after 4, a member that joined during the
// call would be told that a store is durable whose page may have been written
// before it was made.
//
// The call covers the hull of the ranges, the smallest range that contains them
// all. Clean bytes between them cost nothing, as the kernel looks at dirty
// pages only; see Options.Gap for bytes that are dirty.
//
// # Errors
//
// The outcome of the call is the outcome of every member, since the system does
// not report which page has failed. The next batch is another call, unless the
// error is final. The errors of core are: Linux reports a page that could not
// be written back once and counts it as clean from then on, so that another
// call proves nothing [fsync(2)]. This package never repeats a call.
//
// # What it gains
//
// Durable flushes a second, as a multiple of those with an msync per caller,
// each with a page of its own (BenchmarkGroupCommit; ext4 on a virtual disk,
// two cores, a machine not quite idle). The files were written by writes of 1
// MiB, and of 4 KiB:
//
//	          pages side by side          at random places
//	callers   1 MiB        4 KiB          1 MiB        4 KiB
//	1         1.0          1.0            1.0          1.0
//	8         3.1 to 3.4   1.1 to 2.8     0.9 to 1.0   0.9 to 1.6
//	64        16 to 19     5.0 to 6.5     1.2 to 1.3   3.5
//	256       23 to 29     7.7 to 10      2.7 to 9     2.0 to 3.9
//
// For one caller these are medians, of runs from 0.8 to 1.2; see
// [Committer.Flush].
//
// The longest wait of 64 callers was 0.05 to 0.2 times theirs side by side, and
// 0.2 to 1.1 times at random places. In the third column every flush writes a
// MiB of its own: there the bandwidth of the device is the limit, and not its
// flush.
//
// # Write amplification
//
// Linux writes back whole folios, and the page cache holds a file in folios as
// large as the writes that made it. One dirty byte in a mapping of a file
// written by calls of 1 MiB, or filled from front to back through the mapping,
// costs up to a MiB of writing at each flush; in one written by calls of 4 KiB,
// 4 KiB. For small scattered updates give the mapping MADV_RANDOM before it is
// first touched, fill it by small writes, or drop the file from the page cache
// after filling it [posix_fadvise(2)]. Group commit softens it, as many dirty
// pages of one folio are written once per batch.
//
// # What it does not do
//
// It does not know files: locks, pins and remembered errors belong to the
// target. It does not make a group of stores atomic, and orders only a store
// before the flush that was requested after it. A panic of the target ends with
// its batch, as a [PanicError]; one of a callback continues.
//
// Lock order: Background.mu and Committer.mu each come before Batch.mu and are
// never held together. None is held while a target, Execute or a callback runs.
//
// [fsync(2)]: https://man7.org/linux/man-pages/man2/fsync.2.html
// [posix_fadvise(2)]: https://man7.org/linux/man-pages/man2/posix_fadvise.2.html
package flush
