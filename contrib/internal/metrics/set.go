// Package metrics has what the modules of contrib have in common: which metrics
// there are, in one table, and the pools, files, sets and logs that they are of.
package metrics

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/latency"
	"github.com/fmmap-go/fmmap/wal"
)

// Limit is how many things of one kind a [Set] has at most: each is a label value
// and as many time series as its kind has metrics and buckets.
const Limit = 200

// errLimit is the error of one more.
var errLimit = fmt.Errorf("there are %d of them already", Limit)

// A Sample is a metric of one thing now.
type Sample struct {
	*Metric
	Labels    []string // the values of Metric.Labels
	Value     float64
	Histogram latency.Histogram // if Kind is Histogram
}

// A Set has what a program wants to see, by name. The zero value is an empty set.
// It is safe for concurrent use.
type Set struct {
	mu      sync.Mutex // guards sources
	sources map[key]source
}

// A key is what a source is called among those of its kind.
type key struct{ kind, name string }

// A source passes its samples to emit.
type source func(emit func(Sample))

// AddPool adds a pool; nil means the default pool.
func (s *Set) AddPool(name string, p *async.Pool) error {
	return s.add("pool", name, func(emit func(Sample)) {
		stats := p.Stats()
		sample(emit, poolMetrics, stats, name)
		for _, l := range []async.Lane{async.LaneShort, async.LaneFlush, async.LanePage, async.LaneMeta} {
			sample(emit, laneMetrics, laneOf(&stats, l), name, l.String())
		}
	})
}

// laneOf returns the part of stats for a lane.
func laneOf(stats *async.Stats, l async.Lane) async.LaneStats {
	switch l {
	case async.LaneFlush:
		return stats.Flush
	case async.LanePage:
		return stats.Page
	case async.LaneMeta:
		return stats.Meta
	}
	return stats.Short
}

// AddFile adds a file, with its flushes.
func (s *Set) AddFile(name string, f *async.File) error {
	return s.add("file", name, func(emit func(Sample)) {
		stats := f.Stats()
		sample(emit, fileMetrics, fileStats{stats, f.Core().Len()}, name)
		sample(emit, flushMetrics, stats.Flush, name)
	})
}

// AddCommitter adds the flushes of a target that is no [async.File]. Its name is
// one among those of files.
func (s *Set) AddCommitter(name string, c *flush.Committer) error {
	return s.add("file", name, func(emit func(Sample)) { sample(emit, flushMetrics, c.Stats(), name) })
}

// AddFileSet adds a set of files.
func (s *Set) AddFileSet(name string, f *async.FileSet) error {
	return s.add("set", name, func(emit func(Sample)) { sample(emit, setMetrics, f.Stats(), name) })
}

// AddLog adds a log.
func (s *Set) AddLog(name string, l *wal.Log) error {
	return s.add("log", name, func(emit func(Sample)) { sample(emit, logMetrics, l.Stats(), name) })
}

func (s *Set) add(kind, name string, from source) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for k := range s.sources {
		if k.kind == kind {
			n++
		}
	}
	var err error
	switch _, taken := s.sources[key{kind, name}]; {
	case name == "" || !utf8.ValidString(name):
		err = fs.ErrInvalid
	case taken:
		err = fs.ErrExist
	case n >= Limit:
		err = errLimit
	default:
		if s.sources == nil {
			s.sources = map[key]source{}
		}
		s.sources[key{kind, name}] = from
		return nil
	}
	return fmt.Errorf("metrics: %s %q: %w", kind, name, err)
}

// Remove removes all that has been added under a name, and reports whether there
// was anything.
func (s *Set) Remove(name string) (found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.sources)
	maps.DeleteFunc(s.sources, func(k key, _ source) bool { return k.name == name })
	return len(s.sources) < n
}

// Collect passes all samples to emit, by kind and name. It waits for no device
// and for no use of what it asks. emit may call the methods of s.
func (s *Set) Collect(emit func(Sample)) {
	s.mu.Lock()
	sources := maps.Clone(s.sources)
	s.mu.Unlock()
	keys := slices.SortedFunc(maps.Keys(sources), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
	})
	for _, k := range keys {
		sources[k](emit)
	}
}
