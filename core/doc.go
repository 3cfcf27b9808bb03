// Package core maps files into memory and keeps the three promises that plain
// mmap breaks: no fault kills the process, no slice outlives its bytes, and
// what a flush has promised survives a power cut.
//
//	f, err := core.Create("table", 1<<20)       // read-write, locked, with blocks for every byte
//	if err != nil { … }
//	defer f.Close()
//	err = f.Update(func(b []byte) error {       // b is the file, not a copy
//		copy(b[4096:], record)
//		return nil
//	})                                          // a failing disk is an error here, not SIGBUS
//	if err == nil {
//		err = f.Flush()                         // nil: it is on the device
//	}
//
// # Ways in
//
// [File.View] and [File.Update] pass the whole window to a function. [File.Pin]
// returns a part of it, valid until [Pin.Release], for any goroutine; [At] and
// [Slice] return the pinned bytes as typed values. [File.ReadAt] and
// [File.WriteAt] copy, [Get] and [Put] copy single values in a byte order, and
// a [Reader] or [Writer] goes through a range as a stream, without copying it
// to the heap. [File.CopyTo] makes a durable file of a range, atomically.
//
// [OpenFile] opens a file by its name, and [Map] takes one that is open already.
// What has no file behind it has the same methods: [NewMemory] and
// [NewAnonymous]. [NewShared] makes memory that other processes can map.
//
// # Faults
//
// A mapped byte that cannot be brought in (the file was cut by another process,
// the device failed, a sparse file's disk is full) raises SIGBUS. During View,
// Update, [Pin.Do] and every method that copies, it becomes a [*FaultError]
// that names the file and the offset. A system call that a callback makes with
// such bytes returns an error instead of faulting; if the callback returns it,
// it becomes a FaultError too. Panics and faults of other origin pass through,
// with their value and their stack.
//
// The guard belongs to the goroutine that made the call. It cannot catch
//
//   - faults of other goroutines: those that a callback starts, the body of an
//     [iter.Pull], or those behind a writer that passes its bytes on;
//   - faults of the runtime itself: sending a value straight from mapped memory
//     on a channel, or print and println;
//   - faults of C code, or while a signal handler of C code runs;
//   - faults that fmt or text/template have recovered before;
//   - faults on the bytes of [Pin.Bytes], [At] and [Slice] outside Pin.Do;
//   - what the interrupted code has left undone: a mutex that it held stays
//     locked, and a map whose stored key lies in mapped memory stays broken.
//     Copy keys out of the map.
//
// # Lifetime
//
// Operations and pins never wait for a change of the file, and changes wait for
// those operations and pins alone that they would harm. What a change makes
// visible at once, and what it waits for:
//
//	grow            nothing new until it is done        nothing: pinned bytes stay where they are
//	shrink          the new length                      operations, and pins beyond the new end
//	freeze          read-only                           operations and pins from before
//	close           fs.ErrClosed                        operations and pins
//
// Growing within [Options].Reserve keeps the window where it is; past that, a
// larger region is mapped, and the old one goes with its last pin. Memory
// without a file cannot be in two places: past its room, growing waits for a
// moment without any use. So does shrinking a file on Windows, which shortens
// no file that is mapped.
//
// Changes are made one at a time, in the order in which they were started.
// Waiting takes no goroutine: see [Change].
//
// # Durability
//
// [File.Flush] and [File.FlushRange] return when bytes, length and name are on
// the device. A failure is final: the kernel reports a failed write-back once
// and counts the pages as clean from then on, so every later flush returns the
// first failure ([*FlushError]) until the file is opened again. Close does not
// flush.
//
// # Errors
//
// Errors are [*fs.PathError] around a cause that errors.Is finds: [ErrRange],
// [ErrReadOnly], [ErrFault], [ErrFlushFailed], [ErrInUse], [fs.ErrClosed],
// [fs.ErrNotExist], [fs.ErrExist], [fs.ErrInvalid], [lock.ErrLocked] of package
// lock, [errors.ErrUnsupported], or the error of the system.
//
// # What it does not do
//
// It does not make stores atomic: after a power cut, bytes that were not
// flushed may be old, new or torn. It does not synchronise goroutines that
// share bytes. It does not replicate, compress or check what it stores.
//
// [lock.ErrLocked]: https://pkg.go.dev/github.com/fmmap-go/fmmap/lock#ErrLocked
package core
