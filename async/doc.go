// Package async works with mapped files without blocking its callers. The
// operations of a [File] return futures, and the work is done by a [Pool] of few
// goroutines.
//
// # Files
//
// [Open] maps a file by its name and [Map] one that is open already; [Wrap] takes
// a file that package core has mapped. A [FileSet] serves more files than may be
// open at once.
//
//	func handle(ctx context.Context, f *async.File, event []byte, off int64) error {
//		if _, err := f.WriteAt(ctx, event, off).Await(ctx); err != nil {
//			return err
//		}
//		// Requests that wait at the same time share one flush of the device.
//		_, err := f.FlushRange(off, int64(len(event))).Await(ctx)
//		return err // nil: the event survives a power cut
//	}
//
//	func serve(ctx context.Context, name string, events [][]byte) error {
//		o := core.Options{Access: core.ReadWrite, Create: true, Size: 1 << 20}
//		f, err := async.Open(ctx, nil, name, o).Await(ctx)
//		if err != nil {
//			return err
//		}
//		defer f.Close()
//
//		g, gctx := errgroup.WithContext(ctx)
//		for i, event := range events {
//			g.Go(func() error { return handle(gctx, f, event, int64(i)*100) })
//		}
//		if err := g.Wait(); err != nil {
//			return err
//		}
//		pin, err := f.Load(ctx, 0, int64(len(events[0]))).Await(ctx)
//		if err != nil {
//			return err
//		}
//		defer pin.Release()
//		return pin.Do(func(b []byte) error { // in memory, and mapped until Release
//			_, err := os.Stdout.Write(b)
//			return err
//		})
//	}
//
// Reading. Touching a page that is not in memory holds a P of the Go scheduler
// for the time of a disk read. [File.Load] returns a pin whose bytes are in
// memory: at once if they are there already, otherwise after one goroutine, the
// pager of the device, has waited for the reads that the callers have started.
// [File.PageIn] does it without a pin, [File.TryLoad] without a future.
// [File.Stream] goes through a range in chunks, and loads the next ones while the
// loop body works on one. [File.ReadAt] and [File.WriteAt] copy, and bring in
// what is cold first.
//
// Durability. [File.FlushRange] and [File.Flush] join a batch. While one batch is
// being flushed all further requests gather in the next one, so that a thousand
// of them cost a few calls of msync and one worker. A [Background], from
// [File.StartBackground], flushes on behalf of writers that do not wait;
// [Background.Barrier] is for those that do.
//
// Shape and access. [File.Truncate] waits for the pins that reach beyond the new
// end, [File.Close] for all. [File.Lock] acquires the file's advisory lock, in
// the order of the calls. [File.CopyTo] makes a durable copy. [File.Core] is the
// file below, for views, cursors and typed values.
//
// What waits for a lock, for pins, for a batch or for the end of a closing is an
// entry in a list, and holds neither a goroutine nor a worker. A worker is held
// only while a system call or a copy runs.
//
// # Futures
//
// A [Future] is the outcome of work that may not be done yet: a value and an
// error, as a function returns them. [Future.Await] waits for it, with a context
// that ends the wait and not the work; [Future.Done] is for a select statement,
// [Future.Wait] for an errgroup. A future resolves exactly once, with the same
// outcome for all waiters, whatever happens to the work: also when it panics,
// calls runtime.Goexit, is dropped from the queue, or the pool closes. A future
// that is not waited for leaks nothing. [All], [Any], [Then] and [Completed]
// combine futures without holding a goroutine. [Go] runs a function of the
// caller's.
//
// # Pools, lanes and executors
//
// A [Pool] runs work in four lanes, one for each kind: short tasks, flushes,
// page-ins, and changes to the file as such. A lane is a bounded queue, served in
// order by at most as many workers as its width. No lane waits for another, so a
// slow device holds up what needs it and nothing else. Submitting never blocks:
// past the bound a future fails at once with [ErrOverloaded], except that
// [GoWait] waits for room.
//
// Workers are goroutines of an [Executor]: plain goroutines, unless the pool is
// given another one. A worker is started when there is work and exits when there
// is none, so an idle pool owns no goroutine, and importing this package starts
// none. [Pool.Close] lets work finish; after it has returned, none runs.
//
// # What to mind
//
//   - The context given to an operation governs the operation. If it is done
//     before the work has started, the work never runs. If it ends later, opening
//     and copying take back what they have made, Load releases its pin, Lock its
//     lock, and paging in stops after the step under way; other work goes on. The
//     context given to Await ends that wait alone. If both an outcome and a done
//     context are there, the outcome is returned.
//   - A flush is shared, so it has no context and cannot be canceled.
//   - A task must not wait for another task of its own lane: if all workers did,
//     none would be left to run what they wait for. Await, GoWait and
//     [Pool.CloseContext] recognize the task's context and return [ErrSelfWait];
//     Wait and Close cannot. A task must not close a file either.
//   - A pin that is held keeps a shrinking Truncate and Close waiting. Do not wait
//     for either while holding one.
//   - A task that never returns keeps its worker: a goroutine cannot be stopped
//     from outside. It may look at its context.
//   - Code that may block can call package core, and needs nothing of this
//     package.
//   - Tests in a testing/synctest bubble use a pool of their own, made and closed
//     inside it: channels must not leave a bubble, and the default pool would
//     carry some. What the garbage collector releases is released outside of any
//     bubble.
package async
