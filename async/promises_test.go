package async_test

// The tests of this package say by number which of these they hold it to.
//
// # Promises
//
//  1. No call blocks its caller, but Wait, Await, GoWait and Close of a pool. What a lane has no room for fails at
//     once with ErrOverloaded. No lane waits for another.
//  2. A worker waits for no other task: waiting for locks, pins and batches costs none, so that a width of one
//     suffices. Awaiting a pending future of one's own lane with the task's context answers ErrSelfWait.
//  3. All who ask for a flush while another one runs share the next: one worker, one msync, nothing allocated to join.
//  4. Load of resident bytes is answered at once. For cold ones the caller starts the reads, the pager waits for
//     them, and the caller touches none. Past the end of the file: an error.
//  5. The context governs an operation: done before it starts, the work never runs; a resource that arrives when it
//     is done, or in a future that everybody has dropped, is given back.
//  6. Every future resolves, once, and alike for all: also after a panic or a Goexit, or when pool or file close.
//     Where an outcome and a done context meet, the outcome wins.
//  7. Closing a pool lets its work finish. After Close has returned nil no task runs and no goroutine is left. An idle
//     pool owns none.
//  8. A future is one allocation. Every claim on it is one compare-and-swap, so that one claimant wins.
//
// # Semantics
//
//  1. All Waits, Awaits and receives from Done see one outcome, and what resolved it happened before.
//  2. Await of a resolved future returns its outcome, whatever its context.
//  3. Await that its context ends returns *AwaitError and changes nothing. A dropped future leaks no goroutine.
//  4. A context that is done before the work starts keeps it from running, and the future fails with the cause. Done
//     later, the work sees it, and the future has what the work returns.
//  5. Cancel of queued work: true, to one caller, and it never runs. Of any other: false, and no effect.
//  6. A panic is a *PanicError with its stack, told to OnPanic first; a Goexit is ErrGoexit. The lane keeps its width.
//  7. A full queue answers ErrOverloaded. GoWait waits for room, its context, or the end of the pool.
//  8. A lane runs no more tasks at once than it is wide, and starts them in the order they came.
//  9. A task that Awaits its own lane, or Closes its own pool, with its own context, is answered ErrSelfWait.
//  10. Close refuses at once, GoWait's callers included. When its context is done first, queued work fails with
//     ErrClosed, running work sees its context end, and Done tells when the last has returned. Close may be repeated.
//  11. No task runs after Close has returned nil, not even one submitted at the same moment.
//  12. All and Any of several cancel none. Then runs on the lane, and not after an error. What is given up, Completed
//     among it, leaves nothing behind in its sources.
//  13. A flush covers every store that came before the call. All members of a batch share its error, and so does
//     everybody after one that was final.
//  14. What PageIn has brought in was resident, for one WILLNEED and one populate; what was seen lately costs no call.
//  15. Those who wait for a lock are served in order and hold no worker; who gives up never ends up with it.
//  16. Shrinking and closing wait for pins and page-ins without a worker; whoever comes later sees the change.
//  17. Each lane makes progress while the others are full of tasks that are stuck.
