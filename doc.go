// Package fmmap is where the packages for memory-mapped files of this module
// begin. It has no names of its own:
//
//   - [core] maps files: everything that needs no future.
//   - [async] runs the operations that may wait for a device on pools of
//     goroutines, and returns futures.
//   - [flush] lets many callers share one flush of the device.
//   - [lock] has advisory locks of files and ranges, between processes and
//     within one.
//   - [wal] is a durable log of records in segments that are mapped files.
//   - [latency] has the histograms that the statistics of the others are made of.
//
// # Ways in
//
// To a file:
//
//   - [core.Open] (name) (*File, error): for reading
//   - [core.Create] (name, size) (*File, error): for reading and writing
//   - [core.OpenFile] (name, Options) (*File, error): as the options say
//   - [core.Map] (*os.File, Options) (*File, error): one that is open already
//   - [core.NewShared] (name, size, Options) (*File, error): memory that other
//     processes can map
//   - [core.NewAnonymous] (size, Options) (*File, error): memory outside the heap
//   - [core.NewMemory] (name, []byte) *File: a slice with the same methods
//   - [async.Open] (ctx, *Pool, name, Options) *Future[*File]
//   - [async.Map] (ctx, *Pool, *os.File, Options) *Future[*File]
//   - [async.Wrap] (*Pool, *core.File) *File
//
// To a log of records:
//
//   - [wal.Open] (ctx, dir, Options) (*Log, error)
//
// To its bytes:
//
//   - [File.View], [File.Update] (func([]byte) error) error: the whole window
//   - [File.Pin] (off, n) (*Pin, error): a part, until it is released
//   - [File.ReadAt], [File.WriteAt] ([]byte, off) (int, error): copies
//   - [core.Get] [T] (*File, off, order) (T, error): one value
//   - [core.Put] [T] (*File, off, order, T) error: one value
//   - [core.At] [T] (*Pin, off) (*T, error): one value, in place
//   - [core.Slice] [T] (*Pin, off, n) ([]T, error): many values, in place
//   - [File.NewReader], [File.NewWriter] (off, n): a stream, without a copy
//   - [File.Load] (ctx, off, n) *Future[*Pin]: of async, paged in before
//
// To the device:
//
//   - [File.Flush] () error: everything stored before survives a power cut
//   - [File.FlushRange] (off, n) error: the same of a part
//   - [flush.NewCommitter] (Target, Options) *Committer: many callers, one flush
//   - [File.CopyTo]: a durable copy under another name, atomically
//
// [core]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core
// [async]: https://pkg.go.dev/github.com/fmmap-go/fmmap/async
// [flush]: https://pkg.go.dev/github.com/fmmap-go/fmmap/flush
// [lock]: https://pkg.go.dev/github.com/fmmap-go/fmmap/lock
// [wal]: https://pkg.go.dev/github.com/fmmap-go/fmmap/wal
// [latency]: https://pkg.go.dev/github.com/fmmap-go/fmmap/latency
// [core.Open]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#Open
// [core.Create]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#Create
// [core.OpenFile]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#OpenFile
// [core.Map]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#Map
// [core.NewShared]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#NewShared
// [core.NewAnonymous]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#NewAnonymous
// [core.NewMemory]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#NewMemory
// [core.Get]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#Get
// [core.Put]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#Put
// [core.At]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#At
// [core.Slice]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#Slice
// [async.Open]: https://pkg.go.dev/github.com/fmmap-go/fmmap/async#Open
// [async.Map]: https://pkg.go.dev/github.com/fmmap-go/fmmap/async#Map
// [async.Wrap]: https://pkg.go.dev/github.com/fmmap-go/fmmap/async#Wrap
// [flush.NewCommitter]: https://pkg.go.dev/github.com/fmmap-go/fmmap/flush#NewCommitter
// [wal.Open]: https://pkg.go.dev/github.com/fmmap-go/fmmap/wal#Open
// [File.View]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#File.View
// [File.Update]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#File.Update
// [File.Pin]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#File.Pin
// [File.ReadAt]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#File.ReadAt
// [File.WriteAt]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#File.WriteAt
// [File.NewReader]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#File.NewReader
// [File.NewWriter]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#File.NewWriter
// [File.Flush]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#File.Flush
// [File.FlushRange]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#File.FlushRange
// [File.CopyTo]: https://pkg.go.dev/github.com/fmmap-go/fmmap/core#File.CopyTo
// [File.Load]: https://pkg.go.dev/github.com/fmmap-go/fmmap/async#File.Load
package fmmap
