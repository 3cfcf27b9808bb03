package wal

import (
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/latency"
)

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

	// Wait counts calls of Write, and batches that calls of Append have joined, by
	// the time from the call, for a batch the first one, to durability.
	Wait latency.Histogram `json:"wait"`
	// Run counts the flushes of batches, failed ones too, by how long they took:
	// what the device takes.
	Run latency.Histogram `json:"run"`

	// LastError is the flush that failed, after which the log refuses records
	// until it is opened again; empty if none did.
	LastError string `json:"last_error,omitempty"`
}

// counters count what Stats reports.
type counters struct {
	began                    time.Time
	appends, records, volume atomic.Uint64
	wait, run                latency.Recorder
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
	c.wait.Add(time.Duration(c.now()-began), 1)
}

// newCommitter returns a committer of a segment of the log.
func (c *counters) newCommitter(f *core.File) *flush.Committer {
	return flush.NewCommitter(f, flush.Options{Run: &c.run})
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
	s.Wait, s.Run = c.wait.Histogram(), c.run.Histogram()
	if err := l.failed(); err != nil {
		s.LastError = err.Error()
	}
	return s
}
