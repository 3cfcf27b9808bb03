// Package fmmapprom has the metrics of pools, files and logs for Prometheus:
//
//	metrics := fmmapprom.New()
//	metrics.AddPool("main", pool)
//	metrics.AddLog("events", log)
//	prometheus.MustRegister(metrics)
//	http.Handle("/metrics", promhttp.Handler())
//
// A thing is added under a name, which is the value of its label: pool, file, set
// or log. The library counts whether or not there is a collector; a collector
// costs something only when it is scraped, and then waits for no disk, no lock of
// a file and no use of it. What has been closed keeps its last values until it is
// removed. Names have a prefix and end as the conventions of Prometheus say, as
// in fmmap_flush_wait_seconds_bucket and fmmap_wal_records_total; README.md lists
// them.
//
// The folder has a dashboard for Grafana and rules for alerts, which use these
// names and no others.
package fmmapprom

import (
	"strings"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/contrib/internal/metrics"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/latency"
	"github.com/fmmap-go/fmmap/wal"
	"github.com/prometheus/client_golang/prometheus"
)

// Limit is how many pools, sets, logs, or files with committers, a [Collector]
// has at most. Files of a set are not to be added each: their page-ins and
// flushes are in the histograms of their pool.
const Limit = metrics.Limit

// A Collector collects the metrics of what has been added to it. It is a
// [prometheus.Collector], safe for concurrent use, and owns no goroutine.
//
// The methods that add something fail with [fs.ErrExist] if another thing of its
// kind has the name, with [fs.ErrInvalid] if that is empty or not UTF-8, and if
// there are [Limit] of that kind. Files and committers are one kind.
type Collector struct {
	set   metrics.Set
	descs map[*metrics.Metric]*prometheus.Desc
}

var _ prometheus.Collector = (*Collector)(nil)

// New returns a collector of nothing yet.
func New() *Collector {
	c := &Collector{descs: map[*metrics.Metric]*prometheus.Desc{}}
	for _, m := range metrics.All() {
		c.descs[m] = prometheus.NewDesc(name(m), m.Help, m.Labels, nil)
	}
	return c
}

// name returns the name of a metric by the conventions of Prometheus.
func name(m *metrics.Metric) string {
	n := "fmmap_" + strings.ReplaceAll(m.Name, ".", "_")
	switch m.Unit {
	case metrics.Seconds:
		n += "_seconds"
	case metrics.Bytes:
		n += "_bytes"
	}
	if m.Kind == metrics.Counter {
		n += "_total"
	}
	return n
}

// AddPool adds a pool: its lanes, and the waits of all files that use it. nil
// means the default pool.
func (c *Collector) AddPool(name string, p *async.Pool) error { return c.set.AddPool(name, p) }

// AddFile adds a file: its size, requests of pages, and flushes.
func (c *Collector) AddFile(name string, f *async.File) error { return c.set.AddFile(name, f) }

// AddCommitter adds the flushes of a target that is no [async.File].
func (c *Collector) AddCommitter(name string, f *flush.Committer) error {
	return c.set.AddCommitter(name, f)
}

// AddFileSet adds a set of files.
func (c *Collector) AddFileSet(name string, s *async.FileSet) error { return c.set.AddFileSet(name, s) }

// AddLog adds a log.
func (c *Collector) AddLog(name string, l *wal.Log) error { return c.set.AddLog(name, l) }

// Remove removes all that has been added under a name, and reports whether there
// was anything. Remove what is closed while the program goes on: the collector
// refers to it until then.
func (c *Collector) Remove(name string) (found bool) { return c.set.Remove(name) }

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	c.set.Collect(func(s metrics.Sample) {
		d := c.descs[s.Metric]
		m, err := metric(d, s)
		if err != nil {
			m = prometheus.NewInvalidMetric(d, err)
		}
		ch <- m
	})
}

// metric returns a sample as Prometheus has it.
func metric(d *prometheus.Desc, s metrics.Sample) (prometheus.Metric, error) {
	switch s.Kind {
	case metrics.Histogram:
		below, n := map[float64]uint64{}, uint64(0)
		for i := range latency.Buckets - 1 { // the last one is +Inf, and what is left
			n += s.Histogram.Counts[i]
			below[latency.Bound(i).Seconds()] = n
		}
		return prometheus.NewConstHistogram(d, s.Histogram.Count(), s.Histogram.Sum.Seconds(), below, s.Labels...)
	case metrics.Counter:
		return prometheus.NewConstMetric(d, prometheus.CounterValue, s.Value, s.Labels...)
	}
	return prometheus.NewConstMetric(d, prometheus.GaugeValue, s.Value, s.Labels...)
}
