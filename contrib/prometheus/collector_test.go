package fmmapprom_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/async"
	fmmapprom "github.com/fmmap-go/fmmap/contrib/prometheus"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/latency"
	"github.com/fmmap-go/fmmap/wal"
	"github.com/prometheus/client_golang/prometheus"
	prom "github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
)

func TestMain(m *testing.M) { testutil.VerifyMain(m) }

// world is one thing of each kind, which has been used and is in a collector.
type world struct {
	pool      *async.Pool
	file      *async.File
	set       *async.FileSet
	log       *wal.Log
	committer *flush.Committer
	metrics   *fmmapprom.Collector
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		check(t, err)
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// device is a target that holds each flush until held is closed, if it is not nil.
type device struct {
	err  error
	held chan struct{}
}

func (d *device) FlushRange(_, _ int64) error {
	if d.held != nil {
		<-d.held
	}
	return d.err
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	w := &world{metrics: fmmapprom.New()}
	w.pool = must[*async.Pool](t)(async.NewPool(async.PoolOptions{}))
	w.file = must[*async.File](t)(async.Open(ctx, w.pool, filepath.Join(dir, "file"), core.Options{Access: core.ReadWrite, Create: true, Size: 1 << 20}).Await(ctx))
	w.set = must[*async.FileSet](t)(async.NewFileSet(w.pool, async.FileSetOptions{MaxOpen: 1}))
	w.log = must[*wal.Log](t)(wal.Open(ctx, filepath.Join(dir, "log"), wal.Options{SegmentSize: 1 << 20, Pool: w.pool}))
	w.committer = flush.NewCommitter(&device{}, flush.Options{})
	t.Cleanup(w.close)
	for i := range int64(3) {
		check(t, w.file.FlushRange(i*4096, 10).Wait())
		check(t, w.committer.Flush(ctx, i, 1))
		must[uint64](t)(w.log.Write(ctx, []byte("record")))
	}
	check(t, w.file.PageIn(ctx, 0, 1<<20).Wait())
	if err := w.committer.Flush(ctx, -1, 1); err == nil {
		t.Fatal("a flush before the beginning")
	}
	for range 2 {
		for _, name := range []string{"a", "b"} {
			name = filepath.Join(dir, name)
			f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true, Size: 10})
			check(t, err)
			check(t, f.Close())
			lease := must[*async.Lease](t)(w.set.Get(ctx, name).Await(ctx))
			lease.Release()
		}
	}
	check(t, w.metrics.AddPool("main", w.pool))
	check(t, w.metrics.AddFile("data", w.file))
	check(t, w.metrics.AddFileSet("blobs", w.set))
	check(t, w.metrics.AddLog("events", w.log))
	check(t, w.metrics.AddCommitter("index", w.committer))
	return w
}

// close closes everything; a second time it does nothing.
func (w *world) close() {
	_ = w.committer.Close()
	_ = w.log.Close()
	_ = w.set.Close()
	_ = w.file.Close()
	_ = w.pool.Close()
}

// gathered returns what a scrape has, by metric and labels: the value of a counter
// or a gauge, and the histogram of another.
func gathered(t testing.TB, c prometheus.Collector) (values map[string]float64, histograms map[string]*dto.Histogram) {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	check(t, r.Register(c))
	families, err := r.Gather()
	check(t, err)
	values, histograms = map[string]float64{}, map[string]*dto.Histogram{}
	for _, f := range families {
		for _, m := range f.Metric {
			var id strings.Builder
			id.WriteString(f.GetName())
			for _, l := range m.Label {
				id.WriteString(" " + l.GetName() + "=" + l.GetValue())
			}
			switch {
			case m.Histogram != nil:
				histograms[id.String()] = m.Histogram
			case m.Counter != nil:
				values[id.String()] = m.Counter.GetValue()
			default:
				values[id.String()] = m.Gauge.GetValue()
			}
		}
	}
	return values, histograms
}

// same fails unless a histogram of Prometheus has the buckets, the number and the
// sum of one of the library.
func same(t *testing.T, id string, got *dto.Histogram, want latency.Histogram) {
	t.Helper()
	if got == nil {
		t.Errorf("%s is missing", id)
		return
	}
	if got.GetSampleCount() != want.Count() || got.GetSampleSum() != want.Sum.Seconds() || len(got.Bucket) != latency.Buckets-1 {
		t.Errorf("%s: %d of %v s in %d buckets, want %d of %v", id, got.GetSampleCount(), got.GetSampleSum(), len(got.Bucket), want.Count(), want.Sum)
	}
	var n uint64
	for i, b := range got.Bucket {
		if n += want.Counts[i]; b.GetCumulativeCount() != n || b.GetUpperBound() != latency.Bound(i).Seconds() {
			t.Errorf("%s: %d up to %v s, want %d up to %v", id, b.GetCumulativeCount(), b.GetUpperBound(), n, latency.Bound(i))
		}
	}
}

// What a scrape has is what the statistics have, under names that keep the
// conventions.
func TestScrape(t *testing.T) {
	w := newWorld(t)
	problems, err := prom.CollectAndLint(w.metrics)
	check(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	var values map[string]float64
	var histograms map[string]*dto.Histogram
	var pool async.Stats
	testutil.WaitUntil(t, "the pool does nothing meanwhile", func() bool { // the log makes segments ahead
		pool = w.pool.Stats()
		values, histograms = gathered(t, w.metrics)
		return w.pool.Stats() == pool
	})
	file, set, log, committer := w.file.Stats(), w.set.Stats(), w.log.Stats(), w.committer.Stats()
	for id, want := range map[string]float64{
		"fmmap_lane_width lane=flush pool=main":                  float64(pool.Flush.Width),
		"fmmap_lane_queue_limit lane=page pool=main":             1024,
		"fmmap_lane_done_total lane=meta pool=main":              float64(pool.Meta.Done),
		"fmmap_lane_done_total lane=flush pool=main":             float64(pool.Flush.Done),
		"fmmap_lane_longest_wait_seconds lane=short pool=main":   pool.Short.LongestWait.Seconds(),
		"fmmap_file_size_bytes file=data":                        1 << 20,
		"fmmap_file_page_requests_total file=data served=seen":   float64(file.Seen),
		"fmmap_file_page_requests_total file=data served=probed": float64(file.Probed),
		"fmmap_file_page_requests_total file=data served=cold":   float64(file.Cold),
		"fmmap_file_around_bytes_total file=data":                float64(file.Around),
		"fmmap_file_around_asked_bytes_total file=data":          float64(file.AroundAsked),
		"fmmap_flush_requests_total file=data":                   3,
		"fmmap_flush_requests_total file=index":                  3,
		"fmmap_flush_refused_total file=index":                   1,
		"fmmap_flush_batches_total file=data":                    3,
		"fmmap_flush_failed_total file=data":                     0,
		"fmmap_flush_spanned_bytes_total file=index":             3,
		"fmmap_flush_longest_wait_seconds file=data":             file.Flush.LongestWait.Seconds(),
		"fmmap_set_open set=blobs":                               1,
		"fmmap_set_opened_total set=blobs":                       4,
		"fmmap_set_reopened_total set=blobs":                     2,
		"fmmap_set_evicted_total set=blobs":                      float64(set.Evicted),
		"fmmap_wal_first_index log=events":                       1,
		"fmmap_wal_last_index log=events":                        3,
		"fmmap_wal_records_total log=events":                     3,
		"fmmap_wal_stored_bytes_total log=events":                float64(log.Bytes),
		"fmmap_wal_commits_total log=events":                     float64(log.Commits),
		"fmmap_wal_failed log=events":                            0,
	} {
		if got, ok := values[id]; !ok || got != want {
			t.Errorf("%s is %v (present: %t), want %v", id, got, ok, want)
		}
	}
	for id, want := range map[string]latency.Histogram{
		"fmmap_pool_page_in_seconds pool=main":    pool.PageIn,
		"fmmap_pool_flush_wait_seconds pool=main": pool.FlushWait,
		"fmmap_pool_flush_run_seconds pool=main":  pool.FlushRun,
		"fmmap_file_page_in_seconds file=data":    file.PageIn,
		"fmmap_flush_wait_seconds file=data":      file.Flush.Wait,
		"fmmap_flush_run_seconds file=index":      committer.Run,
		"fmmap_wal_wait_seconds log=events":       log.Wait,
		"fmmap_wal_run_seconds log=events":        log.Run,
	} {
		same(t, id, histograms[id], want)
	}
	if file.Flush.Wait.Count() != 3 || log.Wait.Count() != 3 {
		t.Errorf("%d flushes and %d writes timed, want 3 and 3", file.Flush.Wait.Count(), log.Wait.Count())
	}
}

// A registry that is asked for two collectors finds out, as both describe the same
// metrics: all that a scrape has.
func TestDescriptions(t *testing.T) {
	w := newWorld(t)
	r := prometheus.NewRegistry()
	check(t, r.Register(w.metrics))
	if err := r.Register(fmmapprom.New()); err == nil {
		t.Error("two collectors of the same metrics were registered")
	}
	described := make(chan *prometheus.Desc, 1000)
	w.metrics.Describe(described)
	families, err := r.Gather()
	check(t, err)
	if len(described) != len(families) {
		t.Errorf("%d metrics are described, and %d scraped", len(described), len(families))
	}
}

// What is closed can be scraped, and has its last values, until it is removed.
func TestScrapeOfWhatIsClosed(t *testing.T) {
	w := newWorld(t)
	before, _ := gathered(t, w.metrics)
	w.close()
	after, _ := gathered(t, w.metrics)
	for _, id := range []string{"fmmap_flush_requests_total file=data", "fmmap_wal_records_total log=events", "fmmap_set_opened_total set=blobs"} {
		if after[id] != before[id] || before[id] == 0 {
			t.Errorf("%s is %v, before closing it was %v", id, after[id], before[id])
		}
	}
	if got := after["fmmap_file_size_bytes file=data"]; got != 0 {
		t.Errorf("the size of a closed file: %v", got)
	}
	for _, name := range []string{"main", "data", "blobs", "events", "index"} {
		if !w.metrics.Remove(name) || w.metrics.Remove(name) {
			t.Errorf("%s: not there, or there twice", name)
		}
	}
	if n := prom.CollectAndCount(w.metrics); n != 0 {
		t.Errorf("%d metrics of nothing", n)
	}
	check(t, w.metrics.AddPool("data", nil)) // the name is free again
}

func TestFailuresShow(t *testing.T) {
	c := flush.NewCommitter(&device{err: errors.New("disk gone")}, flush.Options{})
	defer c.Close()
	if err := c.Flush(t.Context(), 0, 1); err == nil {
		t.Fatal("a flush by a device that fails")
	}
	m := fmmapprom.New()
	check(t, m.AddCommitter("index", c))
	if values, _ := gathered(t, m); values["fmmap_flush_failed_total file=index"] != 1 {
		t.Errorf("failed: %v", values)
	}
}

// A time beyond the last bound is in the number and in no bucket.
func TestLongTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &device{held: make(chan struct{})}
		c := flush.NewCommitter(d, flush.Options{})
		time.AfterFunc(time.Hour, func() { close(d.held) })
		check(t, c.Flush(t.Context(), 0, 1))
		m := fmmapprom.New()
		check(t, m.AddCommitter("index", c))
		_, histograms := gathered(t, m)
		h := histograms["fmmap_flush_run_seconds file=index"]
		last := h.Bucket[len(h.Bucket)-1]
		if h.GetSampleCount() != 1 || h.GetSampleSum() != 3600 || last.GetCumulativeCount() != 0 {
			t.Errorf("%d of %v s, %d of them up to %v s", h.GetSampleCount(), h.GetSampleSum(), last.GetCumulativeCount(), last.GetUpperBound())
		}
	})
}

func TestNames(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		what string
		err  error
		want error
	}{
		{"a pool twice", w.metrics.AddPool("main", w.pool), fs.ErrExist},
		{"a committer called as a file is", w.metrics.AddCommitter("data", w.committer), fs.ErrExist},
		{"no name", w.metrics.AddLog("", w.log), fs.ErrInvalid},
		{"not UTF-8", w.metrics.AddFileSet("\xff", w.set), fs.ErrInvalid},
		{"a log called as a pool is", w.metrics.AddLog("main", w.log), nil},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, c.err, c.want)
		}
	}
	var err error
	n := 0
	for ; err == nil && n < 10*fmmapprom.Limit; n++ {
		err = w.metrics.AddFile(fmt.Sprint("file ", n), w.file)
	}
	if n != fmmapprom.Limit-1 || !strings.Contains(err.Error(), fmt.Sprint(fmmapprom.Limit)) { // beside data and index
		t.Errorf("file %d was refused with %v, want that of number %d", n, err, fmmapprom.Limit-1)
	}
	check(t, w.metrics.AddFileSet("more", w.set)) // the limit is one for each kind
}

// A scrape returns while a flush runs, a change waits for a pin, and the log
// waits for its disk.
func TestScrapeWaitsForNothing(t *testing.T) {
	w := newWorld(t)
	d := &device{held: make(chan struct{})}
	c := flush.NewCommitter(d, flush.Options{})
	batch := c.Commit(0, 1)
	pin := must[*core.Pin](t)(w.file.Core().Pin(0, 1<<20))
	cut := w.file.Truncate(t.Context(), 0)
	check(t, w.metrics.AddCommitter("held", c))
	values, _ := gathered(t, w.metrics)
	if values["fmmap_flush_waiting file=held"] != 1 {
		t.Errorf("waiting: %v, want 1", values["fmmap_flush_waiting file=held"])
	}
	pin.Release()
	close(d.held)
	check(t, cut.Wait())
	check(t, batch.Wait(t.Context()))
	check(t, c.Close())
}

// Scrapes, uses, additions and removals do not disturb each other.
func TestScrapesBesideUses(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			for range 20 {
				prom.CollectAndCount(w.metrics)
			}
		})
		wg.Go(func() {
			for range 20 {
				if err := w.file.FlushRange(int64(i)*4096, 1).Wait(); err != nil {
					t.Error(err)
				}
				if _, err := w.log.Write(t.Context(), []byte("more")); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			name := fmt.Sprint("added ", i)
			for range 20 {
				if err := w.metrics.AddFile(name, w.file); err != nil {
					t.Error(err)
				}
				w.metrics.Remove(name)
			}
		})
	}
	wg.Wait()
	values, _ := gathered(t, w.metrics)
	if values["fmmap_flush_requests_total file=data"] != 3+60 {
		t.Errorf("%v flushes", values["fmmap_flush_requests_total file=data"])
	}
}

func BenchmarkCollect(b *testing.B) {
	w := newWorld(b)
	b.ReportAllocs()
	for b.Loop() {
		ch := make(chan prometheus.Metric, 1000)
		w.metrics.Collect(ch)
	}
}
