package fmmapotel_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fmmap-go/fmmap/async"
	fmmapotel "github.com/fmmap-go/fmmap/contrib/otel"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/latency"
	"github.com/fmmap-go/fmmap/wal"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func TestMain(m *testing.M) { testutil.VerifyMain(m) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is one thing of each kind, which has been used and is observed.
type world struct {
	pool      *async.Pool
	file      *async.File
	set       *async.FileSet
	log       *wal.Log
	committer *flush.Committer
	reader    *sdk.ManualReader
	metrics   *fmmapotel.Metrics
}

type nothing struct{}

func (nothing) FlushRange(_, _ int64) error { return nil }

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	w := &world{reader: sdk.NewManualReader()}
	provider := sdk.NewMeterProvider(sdk.WithReader(w.reader))
	t.Cleanup(func() { _ = provider.Shutdown(ctx) })
	var err error
	w.metrics, err = fmmapotel.New(provider.Meter("test"))
	check(t, err)
	w.pool, err = async.NewPool(async.PoolOptions{})
	check(t, err)
	w.file, err = async.Open(ctx, w.pool, filepath.Join(dir, "file"), core.Options{Access: core.ReadWrite, Create: true, Size: 1 << 20}).Await(ctx)
	check(t, err)
	w.set, err = async.NewFileSet(w.pool, async.FileSetOptions{})
	check(t, err)
	w.log, err = wal.Open(ctx, filepath.Join(dir, "log"), wal.Options{SegmentSize: 1 << 20, Pool: w.pool})
	check(t, err)
	w.committer = flush.NewCommitter(nothing{}, flush.Options{})
	t.Cleanup(w.close)
	for range 3 {
		check(t, w.file.FlushRange(0, 10).Wait())
		check(t, w.committer.Flush(ctx, 0, 1))
		_, err := w.log.Write(ctx, []byte("record"))
		check(t, err)
	}
	blob := filepath.Join(dir, "blob")
	check(t, os.WriteFile(blob, []byte("blob"), 0o600))
	lease, err := w.set.Get(ctx, blob).Await(ctx)
	check(t, err)
	lease.Release()
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

// collected returns what the reader collects, by instrument and attributes.
func (w *world) collected(t testing.TB) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	check(t, w.reader.Collect(t.Context(), &all))
	values := map[string]float64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Description == "" || m.Unit == "" {
				t.Errorf("%s: unit %q, description %q", m.Name, m.Unit, m.Description)
			}
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				if !d.IsMonotonic {
					t.Errorf("%s is a sum that may fall", m.Name)
				}
				add(values, m.Name, d.DataPoints)
			case metricdata.Sum[float64]:
				add(values, m.Name, d.DataPoints)
			case metricdata.Gauge[int64]:
				add(values, m.Name, d.DataPoints)
			case metricdata.Gauge[float64]:
				add(values, m.Name, d.DataPoints)
			default:
				t.Errorf("%s is a %T", m.Name, d)
			}
		}
	}
	return values
}

func add[N int64 | float64](values map[string]float64, name string, points []metricdata.DataPoint[N]) {
	for _, p := range points {
		values[name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = float64(p.Value)
	}
}

// What a reader collects is what the statistics have.
func TestCollect(t *testing.T) {
	w := newWorld(t)
	var values map[string]float64
	var pool async.Stats
	testutil.WaitUntil(t, "the pool does nothing meanwhile", func() bool { // the log makes segments ahead
		pool = w.pool.Stats()
		values = w.collected(t)
		return w.pool.Stats() == pool
	})
	file, log := w.file.Stats(), w.log.Stats()
	for id, want := range map[string]float64{
		"fmmap.lane.width lane=flush,pool=main":                                                 float64(pool.Flush.Width),
		"fmmap.lane.done lane=meta,pool=main":                                                   float64(pool.Meta.Done),
		"fmmap.lane.longest_wait lane=flush,pool=main":                                          pool.Flush.LongestWait.Seconds(),
		"fmmap.file.size file=data":                                                             1 << 20,
		"fmmap.file.page_requests file=data,served=cold":                                        float64(file.Cold),
		"fmmap.flush.requests file=data":                                                        3,
		"fmmap.flush.requests file=index":                                                       3,
		"fmmap.flush.wait.bucket file=data,le=+Inf":                                             3,
		"fmmap.flush.wait.sum file=data":                                                        file.Flush.Wait.Sum.Seconds(),
		"fmmap.pool.flush_run.sum pool=main":                                                    pool.FlushRun.Sum.Seconds(),
		"fmmap.set.opened set=blobs":                                                            1,
		"fmmap.wal.records log=events":                                                          3,
		"fmmap.wal.stored log=events":                                                           float64(log.Bytes),
		"fmmap.wal.failed log=events":                                                           0,
		"fmmap.wal.wait.bucket le=+Inf,log=events":                                              3,
		fmt.Sprintf("fmmap.pool.flush_wait.bucket le=%v,pool=main", latency.Bound(0).Seconds()): float64(pool.FlushWait.Counts[0]),
	} {
		if got, ok := values[id]; !ok || got != want {
			t.Errorf("%s is %v (present: %t), want %v", id, got, ok, want)
		}
	}
	var n uint64
	for i, c := range log.Wait.Counts[:latency.Buckets-1] {
		n += c
		id := fmt.Sprintf("fmmap.wal.wait.bucket le=%v,log=events", latency.Bound(i).Seconds())
		if got, ok := values[id]; !ok || got != float64(n) {
			t.Errorf("%s is %v (present: %t), want %d", id, got, ok, n)
		}
	}
}

// What is closed has its last values until it is removed.
func TestCollectWhatIsClosed(t *testing.T) {
	w := newWorld(t)
	w.close()
	if got := w.collected(t)["fmmap.wal.records log=events"]; got != 3 {
		t.Errorf("%v records of a closed log, want 3", got)
	}
	for _, name := range []string{"main", "data", "blobs", "events", "index"} {
		if !w.metrics.Remove(name) || w.metrics.Remove(name) {
			t.Errorf("%s: not there, or there twice", name)
		}
	}
	if left := w.collected(t); len(left) != 0 {
		t.Errorf("after Remove: %v", left)
	}
	check(t, w.metrics.AddPool("main", nil))
	check(t, w.metrics.Close())
	if left := w.collected(t); len(left) != 0 {
		t.Errorf("after Close: %v", left)
	}
}

func TestNames(t *testing.T) {
	w := newWorld(t)
	if err := w.metrics.AddLog("events", w.log); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a log twice: %v", err)
	}
	if err := w.metrics.AddFileSet("", w.set); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a set without a name: %v", err)
	}
	var err error
	for i := 0; err == nil && i < 10*fmmapotel.Limit; i++ {
		err = w.metrics.AddLog(fmt.Sprint("log ", i), w.log)
	}
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(fmmapotel.Limit)) {
		t.Errorf("beyond the limit: %v", err)
	}
}

// Collections, uses, additions and removals do not disturb each other.
func TestCollectionsBesideUses(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			for range 10 {
				w.collected(t)
			}
		})
		wg.Go(func() {
			name := fmt.Sprint("added ", i)
			for range 10 {
				if _, err := w.log.Write(t.Context(), []byte("more")); err != nil {
					t.Error(err)
				}
				if err := w.metrics.AddFile(name, w.file); err != nil {
					t.Error(err)
				}
				w.metrics.Remove(name)
			}
		})
	}
	wg.Wait()
	if got := w.collected(t)["fmmap.wal.records log=events"]; got != 3+20 {
		t.Errorf("%v records, want 23", got)
	}
}
