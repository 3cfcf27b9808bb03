// Package reclog is a durable append-only log of records in one mapped file.
// The examples share it, and a log, a queue or a journal can start from it.
//
//	┌──────────┬────────┬─────────┬──────────────┬────────────┬─ ─ ─ ─ ─
//	│ "fmmaplog│ length │ CRC-32C │ sequence no. │ record,    │ zeros, to
//	│  " + ver.│   4    │    4    │      8       │ padded to 8│ grow into
//	└──────────┴────────┴─────────┴──────────────┴────────────┴─ ─ ─ ─ ─
//
// Records are stored in order, under a mutex, and each joins the batch of its
// flush under the same mutex. So when a record is reported durable all earlier
// ones are, and recovery, which reads up to the first record that is not whole,
// never stops before an acknowledged one.
package reclog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

var (
	// ErrNotALog is returned for a file that holds something else.
	ErrNotALog = errors.New("not a record log")
	// ErrEmpty is returned for a record without bytes: recovery could not
	// distinguish it from the end of the log.
	ErrEmpty = errors.New("empty record")
	// ErrTooLarge is returned for a record longer than Options.MaxRecord.
	ErrTooLarge = errors.New("record too large")
	// ErrNotFound is returned for a sequence number that no durable record has.
	ErrNotFound = errors.New("no such record")
	// ErrNoRoom is returned for a record that the file cannot grow for, as on a
	// full disk. The log stays usable: records that fit may still be appended.
	ErrNoRoom = errors.New("no room for the record")
)

const (
	fileHeader   = 16
	recordHeader = 16
	align        = 8
	version      = 1
	defaultMax   = 1 << 20
	defaultGrow  = 16 << 20
)

var magic = [8]byte{'f', 'm', 'm', 'a', 'p', 'l', 'o', 'g'}

// Options are the parameters of a log. The zero value is right for a server.
type Options struct {
	MaxRecord int64       // longest record in bytes; 0 means 1 MiB
	Grow      int64       // how much the file grows at a time, while the disk has room; 0 means 16 MiB
	Pool      *async.Pool // where the work runs; nil means async.Default
	Alone     bool        // flush each record by a call of its own, to measure what group commit saves
}

// Entry is the place of a record: sequence numbers count from 1, offsets are
// those of the record's bytes in the file.
type Entry struct {
	Seq    uint64 `json:"seq"`
	Offset int64  `json:"offset"`
}

// Log is an open log. Its methods may be called by many goroutines at once.
type Log struct {
	file *async.File
	opts Options

	cut int64 // bytes that recovery cut off

	mu      sync.Mutex // guards what follows, and orders stores and flushes
	tail    int64      // where the next record goes
	places  []place    // of record 1 and so on
	durable uint64     // sequence number up to which everything is durable
	pending []pending  // flushes not yet known to be over, one per batch
	growth  growth     // the last growth of the file, which may be under way
	step    int64      // how much the file grows next; at most opts.Grow
	closed  bool
}

// place is where the bytes of a record are.
type place struct {
	off int64
	n   int64
}

// pending is a flush that makes everything up to a record durable.
type pending struct {
	seq   uint64
	flush *async.Future[struct{}]
}

// Open opens the log at name, and creates it when absent. It cuts off what a
// crash has left after the last whole record; see [Log.Cut]. A file that is not
// a log is left as it is, and the error is [ErrNotALog].
func Open(ctx context.Context, name string, o Options) (*Log, error) {
	if o.MaxRecord == 0 {
		o.MaxRecord = defaultMax
	}
	if o.Grow == 0 {
		o.Grow = defaultGrow
	}
	if o.MaxRecord < 1 || o.MaxRecord > 1<<31 || o.Grow < 0 {
		return nil, fmt.Errorf("record limit %d, growth %d: %w", o.MaxRecord, o.Grow, core.ErrRange)
	}
	file, err := async.Open(ctx, o.Pool, name, core.Options{Access: core.ReadWrite, Create: true}).Await(ctx)
	if err != nil {
		return nil, err
	}
	l := &Log{file: file, opts: o, step: o.Grow}
	if err := l.recover(ctx); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

// Cut returns the number of bytes after the last whole record that Open has cut
// off, as far as they are not zero. It looks at 64 KiB at most.
func (l *Log) Cut() int64 { return l.cut }

// Last returns the sequence number of the last durable record, or 0.
func (l *Log) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.updateDurable()
}

// File returns the file of the log, for its statistics.
func (l *Log) File() *async.File { return l.file }

// Close waits for the appends under way and for readers to release their
// records, and closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return l.file.Close()
	}
	l.closed = true
	tail, growing := l.tail, l.growth.future
	l.mu.Unlock()
	ctx := context.Background()
	if growing != nil {
		_, _ = growing.Await(ctx) // its error belongs to the appends that need the room
	}
	_, err := l.file.Flush().Await(ctx)
	if err == nil {
		_, err = l.file.Truncate(ctx, tail).Await(ctx)
	}
	if cerr := l.file.Close(); err == nil {
		err = cerr
	}
	return err
}

// footprint returns how many bytes of the file a record of n bytes takes.
func footprint(n int64) int64 { return recordHeader + (n+align-1)&^(align-1) }

// header returns the first bytes of a log.
func header() (b [fileHeader]byte) {
	copy(b[:], magic[:])
	binary.LittleEndian.PutUint32(b[8:], version)
	return b
}
