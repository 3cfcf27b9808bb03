// Package async works with mapped files without blocking whoever asks, and
// answers with futures.
//
// # Futures
//
// A [Future] is the outcome of work that may not be done yet: a value and an
// error, as a function returns them. [Future.Await] waits for it, with a
// context that ends the wait and not the work; [Future.Done] is for a select
// statement, [Future.Wait] for an errgroup. A future resolves exactly once, for
// all who wait alike, whatever happens to the work: also when it panics, calls
// runtime.Goexit, is dropped from the queue, or the pool closes. Dropping a
// future leaks nothing. [All], [Any], [Then] and [Completed] combine futures
// without holding a goroutine.
//
//	ctx := context.Background()
//	f := async.Go(ctx, async.Default(), func(context.Context) (int, error) {
//		return os.Stdout.WriteString("somewhere else\n")
//	})
//	n, err := f.Await(ctx)
//
// The context that work is submitted with governs it: done before the work has
// started, it keeps it from running; later, the work sees it and decides. On a
// tie between an outcome and a done context the outcome wins.
//
// # Pools, lanes and executors
//
// A [Pool] runs work in four lanes, one for each kind: short tasks, flushes,
// paging in, and changes to the file as such. A lane is a bounded queue, worked
// off in order by at most as many workers as it is wide; no lane waits for
// another, so a slow device holds up flushes and nothing else. Submitting never
// blocks: past the bound a future fails at once with [ErrOverloaded], unless it
// was [GoWait] that was asked to wait for room.
//
// Workers are goroutines of an [Executor], by default an ants pool. A worker is
// asked for when there is work and leaves when there is none, so that an idle
// pool owns no goroutine (the default executor keeps its own for a second or
// two). [Pool.Close] lets work finish as long as its context allows; after it
// has returned nil, none runs.
//
// # What to mind
//
//   - Code that wants to block may call the synchronous twin in package core,
//     and needs nothing of this package.
//   - A task should not wait for another of its own lane: if all workers do, no
//     one is left to run what they wait for. Await, GoWait and Close notice it
//     by the task's context, and answer [ErrSelfWait]; Wait cannot.
//   - A task that never returns keeps its worker for ever: nothing can stop a
//     goroutine from outside. It may look at its context.
//   - Tests in a testing/synctest bubble use a pool of their own, made and
//     closed inside it: channels must not leave a bubble, and the default pool
//     would carry some. Resources that come back by garbage collection do so
//     outside of any bubble.
package async
