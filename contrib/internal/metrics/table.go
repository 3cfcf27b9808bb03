package metrics

import (
	"slices"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/latency"
	"github.com/fmmap-go/fmmap/wal"
)

// Kind is how the value of a metric changes.
type Kind uint8

// The kinds of metrics.
const (
	Gauge     Kind = iota // up and down
	Counter               // up, from 0 on
	Histogram             // a latency.Histogram, which counts up
)

// Units of metrics, as in UCUM. All others are counts.
const (
	Seconds = "s"
	Bytes   = "By"
)

// A Metric describes what is measured.
type Metric struct {
	Kind   Kind
	Name   string // words with dots between them, as OpenTelemetry has names
	Unit   string // Seconds, Bytes or nothing
	Help   string // a sentence
	Labels []string
}

// A row is a metric of things whose statistics are an S.
type row[S any] struct {
	*Metric
	value     func(S) float64
	histogram func(S) latency.Histogram // instead of value
	label     string                    // the value of the last label, where rows differ in it
}

// sample passes a sample of each row of a table to emit.
func sample[S any](emit func(Sample), table []row[S], stats S, labels ...string) {
	for _, r := range table {
		s := Sample{Metric: r.Metric, Labels: labels}
		if r.label != "" {
			s.Labels = append(slices.Clip(labels), r.label)
		}
		if r.Kind == Histogram {
			s.Histogram = r.histogram(stats)
		} else {
			s.Value = r.value(stats)
		}
		emit(s)
	}
}

// All returns all metrics, each once.
func All() []*Metric {
	return slices.Concat(of(poolMetrics), of(laneMetrics), of(fileMetrics), of(flushMetrics), of(setMetrics), of(logMetrics))
}

func of[S any](table []row[S]) (list []*Metric) {
	for _, r := range table {
		if !slices.Contains(list, r.Metric) {
			list = append(list, r.Metric)
		}
	}
	return list
}

// The rest of this file is the table, one part per kind of thing.

func number[S any, N int | int64 | uint64](k Kind, name, unit, help string, labels []string, value func(S) N) row[S] {
	return row[S]{Metric: &Metric{k, name, unit, help, labels}, value: func(s S) float64 { return float64(value(s)) }}
}

func seconds[S any](name, help string, labels []string, value func(S) float64) row[S] {
	return row[S]{Metric: &Metric{Gauge, name, Seconds, help, labels}, value: value}
}

func times[S any](name, help string, labels []string, histogram func(S) latency.Histogram) row[S] {
	return row[S]{Metric: &Metric{Histogram, name, Seconds, help, labels}, histogram: histogram}
}

var (
	byPool = []string{"pool"}
	byLane = []string{"pool", "lane"}
	byFile = []string{"file"}
	bySet  = []string{"set"}
	byLog  = []string{"log"}
)

var poolMetrics = []row[async.Stats]{
	times("pool.page_in", "Time in which requests of cold bytes brought them into memory, of all files of the pool.", byPool, func(s async.Stats) latency.Histogram { return s.PageIn }),
	times("pool.flush_wait", "Time that requests waited for the end of their batch, of all files of the pool.", byPool, func(s async.Stats) latency.Histogram { return s.FlushWait }),
	times("pool.flush_run", "Time that the system calls of a batch took, of all files of the pool.", byPool, func(s async.Stats) latency.Histogram { return s.FlushRun }),
}

var laneMetrics = []row[async.LaneStats]{
	number(Gauge, "lane.width", "", "Tasks that may run at once; of the lanes flush and page, per device.", byLane, func(s async.LaneStats) int { return s.Width }),
	number(Gauge, "lane.queue_limit", "", "Tasks that may be queued; of the lanes flush and page, per device.", byLane, func(s async.LaneStats) int { return s.Queue }),
	number(Gauge, "lane.queued", "", "Tasks that are queued.", byLane, func(s async.LaneStats) int { return s.Queued }),
	number(Gauge, "lane.waiting", "", "Callers that wait for room in the queue.", byLane, func(s async.LaneStats) int { return s.Waiting }),
	number(Gauge, "lane.running", "", "Tasks that run.", byLane, func(s async.LaneStats) int { return s.Running }),
	number(Counter, "lane.done", "", "Tasks that ran to an end, whatever the outcome.", byLane, func(s async.LaneStats) uint64 { return s.Done }),
	number(Counter, "lane.panicked", "", "Tasks that panicked.", byLane, func(s async.LaneStats) uint64 { return s.Panicked }),
	number(Counter, "lane.dropped", "", "Tasks that were accepted and never ran: cancelled, or dropped by closing the pool.", byLane, func(s async.LaneStats) uint64 { return s.Dropped }),
	number(Counter, "lane.overloaded", "", "Tasks that were refused because the queue was full.", byLane, func(s async.LaneStats) uint64 { return s.Overloaded }),
	seconds("lane.longest_wait", "Longest time that a task has been queued, of a sample.", byLane, func(s async.LaneStats) float64 { return s.LongestWait.Seconds() }),
}

// fileStats are the statistics of a file and the length of its window.
type fileStats struct {
	async.FileStats
	length int64
}

var pageRequests = &Metric{Counter, "file.page_requests", "", "Requests of pages, by how they were served: seen and probed at once, cold after waiting.", []string{"file", "served"}}

var fileMetrics = []row[fileStats]{
	number(Gauge, "file.size", Bytes, "Length of the window; 0 once the file is closed.", byFile, func(s fileStats) int64 { return s.length }),
	{Metric: pageRequests, label: "seen", value: func(s fileStats) float64 { return float64(s.Seen) }},
	{Metric: pageRequests, label: "probed", value: func(s fileStats) float64 { return float64(s.Probed) }},
	{Metric: pageRequests, label: "cold", value: func(s fileStats) float64 { return float64(s.Cold) }},
	number(Counter, "file.around", Bytes, "Bytes whose reading was started around pages that a request waited for.", byFile, func(s fileStats) uint64 { return s.Around }),
	number(Counter, "file.around_asked", Bytes, "Those of them that another request has asked for since.", byFile, func(s fileStats) uint64 { return s.AroundAsked }),
	times("file.page_in", "Time in which requests of cold bytes brought them into memory.", byFile, func(s fileStats) latency.Histogram { return s.PageIn }),
}

var flushMetrics = []row[flush.Stats]{
	number(Counter, "flush.requests", "", "Requests that joined a batch.", byFile, func(s flush.Stats) int64 { return s.Requests }),
	number(Counter, "flush.refused", "", "Requests that joined none: bad range, closed, or failed for good.", byFile, func(s flush.Stats) int64 { return s.Refused }),
	number(Gauge, "flush.waiting", "", "Requests that wait for the end of their batch.", byFile, func(s flush.Stats) int64 { return s.Waiting }),
	number(Counter, "flush.batches", "", "Batches that are over.", byFile, func(s flush.Stats) int64 { return s.Batches }),
	number(Counter, "flush.failed", "", "Batches that failed.", byFile, func(s flush.Stats) int64 { return s.Failed }),
	number(Counter, "flush.spanned", Bytes, "Bytes that the system calls of the batches spanned, clean ones included.", byFile, func(s flush.Stats) int64 { return s.Bytes }),
	number(Gauge, "flush.largest_batch", "", "Most requests in one batch.", byFile, func(s flush.Stats) int64 { return s.LargestBatch }),
	seconds("flush.longest_wait", "Longest time that a request has waited for the end of its batch.", byFile, func(s flush.Stats) float64 { return s.LongestWait.Seconds() }),
	times("flush.wait", "Time that requests waited for the end of their batch.", byFile, func(s flush.Stats) latency.Histogram { return s.Wait }),
	times("flush.run", "Time that the system calls of a batch took.", byFile, func(s flush.Stats) latency.Histogram { return s.Run }),
}

var setMetrics = []row[async.FileSetStats]{
	number(Gauge, "set.open", "", "Files that are open, being opened or being closed.", bySet, func(s async.FileSetStats) int { return s.Open }),
	number(Gauge, "set.leases", "", "Leases that have not been released.", bySet, func(s async.FileSetStats) int { return s.Leases }),
	number(Gauge, "set.waiting", "", "Files that wait for a place.", bySet, func(s async.FileSetStats) int { return s.Waiting }),
	number(Counter, "set.hits", "", "Leases of files that were open already.", bySet, func(s async.FileSetStats) uint64 { return s.Hits }),
	number(Counter, "set.opened", "", "Files opened.", bySet, func(s async.FileSetStats) uint64 { return s.Opened }),
	number(Counter, "set.reopened", "", "Files opened that the set had opened before.", bySet, func(s async.FileSetStats) uint64 { return s.Reopened }),
	number(Counter, "set.refused", "", "Openings that failed.", bySet, func(s async.FileSetStats) uint64 { return s.Refused }),
	number(Counter, "set.evicted", "", "Files closed for others.", bySet, func(s async.FileSetStats) uint64 { return s.Evicted }),
	number(Counter, "set.expired", "", "Files closed because they were not used for some time.", bySet, func(s async.FileSetStats) uint64 { return s.Expired }),
}

var logMetrics = []row[wal.Stats]{
	number(Gauge, "wal.first_index", "", "Index of the first record.", byLog, func(s wal.Stats) uint64 { return s.First }),
	number(Gauge, "wal.last_index", "", "Index of the last durable record.", byLog, func(s wal.Stats) uint64 { return s.Last }),
	number(Gauge, "wal.segments", "", "Segments that hold records.", byLog, func(s wal.Stats) int { return s.Segments }),
	number(Gauge, "wal.mapped_segments", "", "Segments that are mapped.", byLog, func(s wal.Stats) int { return s.Mapped }),
	number(Gauge, "wal.spares", "", "Segments that hold nothing and wait for records.", byLog, func(s wal.Stats) int { return s.Spares }),
	number(Counter, "wal.appends", "", "Calls that stored records.", byLog, func(s wal.Stats) uint64 { return s.Appends }),
	number(Counter, "wal.records", "", "Records stored.", byLog, func(s wal.Stats) uint64 { return s.Records }),
	number(Counter, "wal.stored", Bytes, "Bytes stored: the records, their headers and padding.", byLog, func(s wal.Stats) uint64 { return s.Bytes }),
	number(Counter, "wal.commits", "", "Batches that became durable.", byLog, func(s wal.Stats) uint64 { return s.Commits }),
	number(Gauge, "wal.failed", "", "1 once a flush of the log has failed, so that it refuses records until it is opened again.", byLog, func(s wal.Stats) int {
		if s.LastError != "" {
			return 1
		}
		return 0
	}),
	times("wal.wait", "Time from storing records to their durability.", byLog, func(s wal.Stats) latency.Histogram { return s.Wait }),
	times("wal.run", "Time that the flush of a batch took.", byLog, func(s wal.Stats) latency.Histogram { return s.Run }),
}
