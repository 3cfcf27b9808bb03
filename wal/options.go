package wal

import (
	"fmt"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// Options are the parameters of a log. The zero value is right for a server.
type Options struct {
	// SegmentSize is the length of a segment file in bytes, a multiple of 4096
	// from 64 KiB to 16 GiB; 0 means 64 MiB. A segment takes its blocks of the
	// disk before it takes records. So that the first record of a log does not
	// wait for much of that, the first segment has at most 1 MiB, and the next
	// ones grow. The size may differ from one opening to the next. A record that
	// does not fit gets a segment of its own.
	SegmentSize int64
	// Spare is how many unused segments are kept for later, left over from
	// truncation or made while the second half of the last segment fills; 0 means
	// 1. Others are removed.
	Spare int
	// OpenSegments is how many sealed segments stay mapped for readers; the
	// least recently used are closed first. 0 means 64.
	OpenSegments int
	// Wait has Open wait for a log that is open elsewhere, until its context
	// ends, in place of returning lock.ErrLocked.
	Wait bool
	// NoVerify leaves the checksum of a record unchecked when it is read.
	NoVerify bool
	// Pool is where page-ins run; nil means async.Default.
	Pool *async.Pool
}

const (
	defaultSegment = 64 << 20
	minSegment     = 64 << 10
	maxSegment     = 1 << 34
	// MaxRecord is the length of the longest record, in bytes.
	MaxRecord = 1 << 30
)

// check returns o with its defaults.
func (o Options) check() (Options, error) {
	if o.SegmentSize == 0 {
		o.SegmentSize = defaultSegment
	}
	if o.Spare == 0 {
		o.Spare = 1
	}
	if o.OpenSegments == 0 {
		o.OpenSegments = 64
	}
	switch {
	case o.SegmentSize < minSegment || o.SegmentSize > maxSegment || o.SegmentSize%pageSize != 0:
		return o, fmt.Errorf("wal: Options.SegmentSize %d: %w", o.SegmentSize, core.ErrRange)
	case o.Spare < 0:
		return o, fmt.Errorf("wal: Options.Spare %d: %w", o.Spare, core.ErrRange)
	case o.OpenSegments < 0:
		return o, fmt.Errorf("wal: Options.OpenSegments %d: %w", o.OpenSegments, core.ErrRange)
	}
	return o, nil
}
