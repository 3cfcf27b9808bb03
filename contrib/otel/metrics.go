// Package fmmapotel has the metrics of pools, files and logs as observable
// instruments of OpenTelemetry:
//
//	metrics, err := fmmapotel.New(provider.Meter("myserver"))
//	…
//	defer metrics.Close()
//	metrics.AddPool("main", pool)
//	metrics.AddLog("events", log)
//
// A thing is added under a name, which is the value of its attribute: pool, file,
// set or log. The library counts whether or not there are instruments; they cost
// something only when a reader collects, and that waits for no disk, no lock of a
// file and no use of it. What has been closed keeps its last values until it is
// removed.
//
// The instruments are those of the module contrib/prometheus, whose README.md
// lists them, with dots: fmmap_wal_records_total is fmmap.wal.records here. The
// API has no observable histogram. So a histogram of Prometheus, like
// fmmap_flush_wait_seconds, is two counters: fmmap.flush.wait.bucket counts
// durations up to that of the attribute le, in seconds and +Inf for all of them,
// and fmmap.flush.wait.sum adds them up. A query takes quantiles from the first as
// from the buckets of any histogram.
package fmmapotel

import (
	"context"
	"errors"
	"strconv"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/contrib/internal/metrics"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/latency"
	"github.com/fmmap-go/fmmap/wal"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Limit is how many pools, sets, logs, or files with committers, a [Metrics] has
// at most. Files of a set are not to be added each: their page-ins and flushes are
// in the instruments of their pool. A bucket instrument has 28 attribute sets for
// each thing, and the SDK takes 2,000 of one instrument unless it is told otherwise
// (WithCardinalityLimit): enough for 70 files.
const Limit = metrics.Limit

// Metrics observes what has been added to it whenever a reader collects. It is
// safe for concurrent use, and owns no goroutine.
//
// The methods that add something fail with [fs.ErrExist] if another thing of its
// kind has the name, with [fs.ErrInvalid] if that is empty or not UTF-8, and if
// there are [Limit] of that kind. Files and committers are one kind.
type Metrics struct {
	set         metrics.Set
	instruments map[*metrics.Metric]instruments
	callback    metric.Registration
}

// instruments are those of one metric: one of the first two, or the last two.
type instruments struct {
	count   metric.Int64Observable
	seconds metric.Float64Observable
	bucket  metric.Int64Observable
	sum     metric.Float64Observable
}

// New makes the instruments of a meter. It fails if the meter does.
func New(meter metric.Meter) (*Metrics, error) {
	m := &Metrics{instruments: map[*metrics.Metric]instruments{}}
	var all []metric.Observable
	for _, of := range metrics.All() {
		i, err := newInstruments(meter, of)
		if err != nil {
			return nil, err
		}
		m.instruments[of] = i
		for _, o := range []metric.Observable{i.count, i.seconds, i.bucket, i.sum} {
			if o != nil {
				all = append(all, o)
			}
		}
	}
	var err error
	m.callback, err = meter.RegisterCallback(m.observe, all...)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// newInstruments makes the instruments of one metric.
func newInstruments(meter metric.Meter, m *metrics.Metric) (i instruments, err error) {
	name, help, unit := "fmmap."+m.Name, metric.WithDescription(m.Help), m.Unit
	if unit == "" {
		unit = "1"
	}
	switch {
	case m.Kind == metrics.Histogram:
		var err2 error
		i.bucket, err = meter.Int64ObservableCounter(name+".bucket", help, metric.WithUnit("1"))
		i.sum, err2 = meter.Float64ObservableCounter(name+".sum", help, metric.WithUnit(unit))
		err = errors.Join(err, err2)
	case m.Kind == metrics.Counter:
		i.count, err = meter.Int64ObservableCounter(name, help, metric.WithUnit(unit))
	case m.Unit == metrics.Seconds:
		i.seconds, err = meter.Float64ObservableGauge(name, help, metric.WithUnit(unit))
	default:
		i.count, err = meter.Int64ObservableGauge(name, help, metric.WithUnit(unit))
	}
	return i, err
}

// bounds are the values of the attribute le, by bucket.
var bounds = func() (list [latency.Buckets]attribute.KeyValue) {
	for i := range list {
		list[i] = attribute.String("le", strconv.FormatFloat(latency.Bound(i).Seconds(), 'g', -1, 64))
	}
	list[latency.Buckets-1] = attribute.String("le", "+Inf")
	return list
}()

// observe is called when a reader collects.
func (m *Metrics) observe(ctx context.Context, o metric.Observer) error {
	m.set.Collect(func(s metrics.Sample) {
		if ctx.Err() != nil {
			return
		}
		with := make([]attribute.KeyValue, len(s.Labels), len(s.Labels)+1)
		for i, v := range s.Labels {
			with[i] = attribute.String(s.Metric.Labels[i], v)
		}
		i, of := m.instruments[s.Metric], metric.WithAttributes(with...)
		switch {
		case i.count != nil:
			o.ObserveInt64(i.count, int64(s.Value), of)
		case i.seconds != nil:
			o.ObserveFloat64(i.seconds, s.Value, of)
		default:
			o.ObserveFloat64(i.sum, s.Histogram.Sum.Seconds(), of)
			var n uint64
			for b, c := range s.Histogram.Counts {
				n += c
				o.ObserveInt64(i.bucket, int64(n), metric.WithAttributes(append(with, bounds[b])...))
			}
		}
	})
	return ctx.Err()
}

// AddPool adds a pool: its lanes, and the waits of all files that use it. nil
// means the default pool.
func (m *Metrics) AddPool(name string, p *async.Pool) error { return m.set.AddPool(name, p) }

// AddFile adds a file: its size, requests of pages, and flushes.
func (m *Metrics) AddFile(name string, f *async.File) error { return m.set.AddFile(name, f) }

// AddCommitter adds the flushes of a target that is no [async.File].
func (m *Metrics) AddCommitter(name string, c *flush.Committer) error {
	return m.set.AddCommitter(name, c)
}

// AddFileSet adds a set of files.
func (m *Metrics) AddFileSet(name string, s *async.FileSet) error { return m.set.AddFileSet(name, s) }

// AddLog adds a log.
func (m *Metrics) AddLog(name string, l *wal.Log) error { return m.set.AddLog(name, l) }

// Remove removes all that has been added under a name, and reports whether there
// was anything. Remove what is closed while the program goes on: the instruments
// refer to it until then.
func (m *Metrics) Remove(name string) (found bool) { return m.set.Remove(name) }

// Close ends the observation.
func (m *Metrics) Close() error { return m.callback.Unregister() }
