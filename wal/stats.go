package wal

import (
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/flush"
)

// Buckets is the number of buckets of a latency in [Stats].
const Buckets = 32

// Stats describe a log since it was opened. They are plain data, fit for expvar
// and JSON.
type Stats struct {
	First    uint64 `json:"first"`    // index of the first record
	Last     uint64 `json:"last"`     // index of the last durable record
	Segments int    `json:"segments"` // that hold records
	Mapped   int    `json:"mapped"`   // of these, mapped now
	Spares   int    `json:"spares"`   // files that hold nothing

	Appends uint64 `json:"appends"` // calls of Append, AppendAt and Write that stored something
	Records uint64 `json:"records"` // stored
	Bytes   uint64 `json:"bytes"`   // of frames: the records, their headers and padding
	Commits uint64 `json:"commits"` // batches that became durable, by one flush each

	// Latency counts calls of Write, and batches that calls of Append have joined,
	// by the time from the call, for a batch the first one, to durability:
	// bucket i has those below 2^i µs and not below 2^(i-1).
	Latency [Buckets]uint64 `json:"latency"`
}

// counters count what Stats reports.
type counters struct {
	began                    time.Time
	appends, records, volume atomic.Uint64
	latency                  [Buckets]atomic.Uint64
	commits                  uint64 // of committers that were closed; guarded by Log.mu
}

// now returns a reading of the log's clock, in nanoseconds.
func (c *counters) now() int64 { return int64(time.Since(c.began)) }

func (c *counters) appended(records int, bytes int64) {
	c.appends.Add(1)
	c.records.Add(uint64(records))
	c.volume.Add(uint64(bytes))
}

// waited counts a wait for durability.
func (c *counters) waited(began int64) {
	us := uint64(max(c.now()-began, 0)) / 1000
	c.latency[min(bits.Len64(us), Buckets-1)].Add(1)
}

// commits returns how many batches of c became durable.
func commits(c *flush.Committer) uint64 {
	s := c.Stats()
	return uint64(s.Batches - s.Failed)
}

// Stats returns a snapshot.
func (l *Log) Stats() Stats {
	l.mu.RLock()
	s := Stats{First: l.meta.first, Last: l.durable.Load(), Segments: len(l.segments), Spares: len(l.spares)}
	for _, seg := range l.segments {
		if seg.file != nil {
			s.Mapped++
		}
	}
	c := &l.counters
	s.Commits = c.commits
	if t := l.tail(); t != nil && t.committer != nil {
		s.Commits += commits(t.committer)
	}
	l.mu.RUnlock()
	s.Appends, s.Records, s.Bytes = c.appends.Load(), c.records.Load(), c.volume.Load()
	for i := range s.Latency {
		s.Latency[i] = c.latency[i].Load()
	}
	return s
}
