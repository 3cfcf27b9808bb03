// Package reclog is a durable append-only log of records in one mapped file: what the examples
// share, and a pattern to start a log, a queue or a journal from.
//
//	┌──────────┬────────────────────────────────┬─────────────────────────┬─ ─ ─ ─ ─ ─ ─
//	│ "fmmaplog│ length │ CRC-32C │ sequence no. │ record, padded to 8     │ zeros, to grow
//	│  " + ver.│   4    │    4    │      8       │                         │ into
//	└──────────┴────────────────────────────────┴─────────────────────────┴─ ─ ─ ─ ─ ─ ─
//
// Records are stored in order, under a mutex, and each joins the batch of its flush under that same mutex. So when
// a record is reported durable all the earlier ones are, and recovery, which reads up to the first record
// that is not whole, never stops before an acknowledged one.
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
	// ErrNotALog answers a file that holds something else.
	ErrNotALog = errors.New("not a record log")
	// ErrEmpty answers a record without bytes: it could not be told from the end of the log.
	ErrEmpty = errors.New("empty record")
	// ErrTooLarge answers a record of more than Options.MaxRecord bytes.
	ErrTooLarge = errors.New("record too large")
	// ErrNotFound answers a sequence number that no durable record has.
	ErrNotFound = errors.New("no such record")
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

// Options say how a log is opened. The zero value is right for a server.
type Options struct {
	MaxRecord int64       // longest record in bytes; 0 means 1 MiB
	Grow      int64       // how much the file grows at a time; 0 means 16 MiB
	Pool      *async.Pool // where the work runs; nil means the process's own
	Alone     bool        // flush each record by a call of its own: to see what group commit saves
}

// Entry is the place of a record: sequence numbers count from 1, offsets are those of the record's bytes in the file.
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
	pending []pending  // flushes not yet known to be over, a batch each
	growing *async.Future[struct{}]
	closed  bool
}

// place is where a record's bytes are.
type place struct {
	off int64
	n   int64
}

// pending is a flush that makes everything up to a record durable.
type pending struct {
	seq   uint64
	flush *async.Future[struct{}]
}

// Open opens the log at name, or makes one. What a crash left behind the last whole record is cut off;
// see [Log.Cut]. A file that is no log is left as it is, with [ErrNotALog].
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
	l := &Log{file: file, opts: o}
	if err := l.recover(ctx); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

// Cut is the number of bytes that recovery found behind the last whole record and dropped.
func (l *Log) Cut() int64 { return l.cut }

// Last is the sequence number of the last durable record, 0 when there is none.
func (l *Log) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.settle()
}

// File is the file underneath, for its statistics.
func (l *Log) File() *async.File { return l.file }

// Close waits for the appends under way and for readers to release their records, and closes the file.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return l.file.CloseContext(ctx)
	}
	l.closed = true
	tail, growing := l.tail, l.growing
	l.mu.Unlock()
	if growing != nil {
		_, _ = growing.Await(ctx) // its outcome was for those who needed the room
	}
	_, err := l.file.Flush().Await(ctx)
	if err == nil {
		_, err = l.file.Truncate(ctx, tail).Await(ctx)
	}
	if cerr := l.file.CloseContext(ctx); err == nil {
		err = cerr
	}
	return err
}

// footprint is how many bytes a record of n bytes takes.
func footprint(n int64) int64 { return recordHeader + (n+align-1)&^(align-1) }

// header is the first bytes of the file.
func header() (b [fileHeader]byte) {
	copy(b[:], magic[:])
	binary.LittleEndian.PutUint32(b[8:], version)
	return b
}
