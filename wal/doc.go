// Package wal is a durable log of records in segments that are mapped files: a
// base for databases, queues and replicated state machines.
//
//	log, err := wal.Open(ctx, dir, wal.Options{})
//	...
//	last, err := log.Append(record).Await(ctx) // durable: it survives a power cut
//	pin, err := log.Load(ctx, last).Await(ctx) // the record in place, without a copy
//
// Records have dense indexes that count up from 1, or from the index given to
// [Log.Reset]. Appends from many goroutines are made durable in groups, by one
// flush each. Readers see the durable records and never wait for writers.
//
// # Promises
//
//   - When a [Ticket] has resolved without an error, its records and all before
//     them survive a crash of the process, of the system and of the power.
//   - After a crash the log is a prefix of the appended records that contains
//     every such record. Others that the prefix contains were never acknowledged;
//     the rest is overwritten.
//   - Damage that no crash explains is an error: [ErrCorrupt], with the file and
//     the offset. Nothing is cut off for it; [Repair] does that on request, and
//     keeps the bytes aside.
//   - [Log.TruncateFront], [Log.TruncateBack], [Log.Reset] and [Log.Set] are
//     durable when they return, and atomic.
//
// # On the disk
//
// The directory holds the file meta, which is locked while the log is open, and
// the segments. A segment is written ahead with zeros, so that flushing a batch
// changes no metadata of the file system, and recycled by a new header: no file
// is renamed or removed in steady state. Where truncation leaves none, the next
// segment is written ahead while the second half of the last one fills, or, where
// batches have 64 KiB or more, its blocks are only allocated, since the zeros would
// take as much of the device as the records. The first segments of a log are
// shorter, so that its first record waits for little.
//
//	meta      two slots, written in turn: first and last segment, the place of
//	          the last TruncateBack, how the log was closed, the map of Set
//	segment   ┌────────┬────────┬────────┬─ ─ ─ ─┬───────┬─ ─ ─┬─────────┐
//	          │ header │ frame  │ frame  │       │ index │     │ trailer │
//	          │  4096  │        │        │       │       │     │   64    │
//	          └────────┴────────┴────────┴─ ─ ─ ─┴───────┴─ ─ ─┴─────────┘
//	frame     ┌─────────┬────────┬─────────┬────────────┬───────┬─────────────┐
//	          │ CRC-32C │ length │ durable │ generation │ index │ record,     │
//	          │    4    │   4    │    4    │     2      │   2   │ padded to 8 │
//	          └─────────┴────────┴─────────┴────────────┴───────┴─────────────┘
//
// A segment's header names the log, the segment's sequence number, its first
// index, and the predecessor that it follows. Every checksum begins with a seed
// that is made of the log's identity, the sequence number and a random salt, so
// that bytes of an earlier life of the file never pass. The generation of a
// frame grows whenever the log is opened or cut, and never falls from one frame
// to the next, so that a frame left over from before a cut does not pass behind
// one stored after it.
//
// A frame also holds the offset up to which its segment was durable when it was
// stored. Where a frame is broken, but a later one claims that it was durable,
// the damage is not that of a crash.
//
// A segment is sealed, with an index of its records and a trailer, and all of it
// is durable, before the header of the next one is stored. So opening reads
// headers and trailers, and scans at most one segment.
package wal
