package async_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/async"
)

// A journal records the calls of hooks.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) hooks() async.Hooks {
	return async.Hooks{
		OnStart: func(l async.Lane, op string, waited time.Duration) { j.note("start %v %s %v", l, op, waited) },
		OnDone: func(l async.Lane, op string, ran time.Duration, err error) {
			j.note("done %v %s %v %v", l, op, ran, err)
		},
		OnDrop:  func(l async.Lane, op string, err error) { j.note("drop %v %s %v", l, op, err) },
		OnPanic: func(l async.Lane, op string, err *async.PanicError) { j.note("panic %v %s %v", l, op, err.Value) },
	}
}

// TestHooksAndStats: every task is started and done, or dropped, with its times,
// before its future resolves; the counts agree.
func TestHooksAndStats(t *testing.T) {
	for _, b := range blockable {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { hooksAndStats(t, b.make()) })
		})
	}
}

func hooksAndStats(t *testing.T, e async.Executor) {
	var j journal
	o := short(e, 1, 4)
	o.Hooks = j.hooks()
	p := open(t, o)
	sleep := func(d time.Duration, err error) func(context.Context) (int, error) {
		return func(context.Context) (int, error) { <-time.After(d); return 0, err }
	}
	ctx, cancel := context.WithCancel(t.Context())
	fs := []*async.Future[int]{
		async.Go(t.Context(), p, sleep(3*time.Second, nil)),
		async.Go(t.Context(), p, sleep(2*time.Second, errBoom)),
		async.Go(ctx, p, value(1)),
		async.Go(t.Context(), p, func(context.Context) (int, error) { panic("oops") }),
		async.Go(t.Context(), p, value(1)),
		async.Go(t.Context(), p, value(1)),
	}
	then := async.Then(t.Context(), p, fs[0], func(context.Context, int) (int, error) { return 1, nil })
	synctest.Wait()
	fs[4].Cancel(errBoom)
	cancel()
	for _, f := range append(fs, then) {
		_ = f.Wait()
	}
	if got, want := j.lines, []string{
		"start short go 0s", "drop short go boom", "done short go 3s <nil>",
		"start short go 3s", "done short go 2s boom",
		"drop short go context canceled",
		"start short go 5s", "panic short go oops", "done short go 0s panic: oops",
		"start short then 2s", "done short then 0s <nil>",
	}; !slices.Equal(got, want) {
		t.Errorf("hooks:\ngot  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	want := async.LaneStats{
		Width: 1, Queue: 4, Done: 4, Panicked: 1, Dropped: 2, Overloaded: 1, LongestWait: 5 * time.Second,
	}
	if got := p.Stats().Short; got != want {
		t.Errorf("stats:\ngot  %+v\nwant %+v", got, want)
	}
}

// TestLongestWait is known without hooks, too, when tasks queue up.
func TestLongestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, short(nil, 1, 0))
		var last *async.Future[int]
		for range 3 {
			last = async.Go(t.Context(), p, func(context.Context) (int, error) { <-time.After(time.Second); return 0, nil })
		}
		_ = last.Wait()
		if got := p.Stats().Short.LongestWait; got < time.Second || got > 2*time.Second {
			t.Errorf("got %v, want one or two seconds", got)
		}
	})
}

// TestStatsAreJSON, as expvar wants them, with names of one kind throughout.
func TestStatsAreJSON(t *testing.T) {
	p := open(t, async.PoolOptions{})
	_ = async.Go(t.Context(), p, value(1)).Wait()
	f := onDisk(t, p, 10)
	for name, x := range map[string]struct {
		stats any
		want  []string
	}{
		"pool": {p.Stats(), []string{`"short":{`, `"done":1`, `"longest_wait_ns":`}},
		"file": {f.Stats(), []string{`"seen":0`, `"flush":{`, `"batches":0`}},
	} {
		b, err := json.Marshal(x.stats)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range x.want {
			if !bytes.Contains(b, []byte(want)) {
				t.Errorf("%s: no %s in %s", name, want, b)
			}
		}
		if upper := regexp.MustCompile(`"[^"]*[A-Z][^"]*":`).Find(b); upper != nil {
			t.Errorf("%s: the name %s is unlike the others", name, upper)
		}
	}
}

// ownLabels returns the record of the calling goroutine in a goroutine profile,
// which begins with its labels.
func ownLabels(t *testing.T) string {
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		t.Fatal(err)
	}
	for record := range strings.SplitSeq(b.String(), "\n\n") {
		if strings.Contains(record, "ownLabels") {
			return record
		}
	}
	t.Fatalf("the goroutine is not in its profile:\n%s", &b)
	return ""
}

// TestLabels: a task's goroutine carries the operation's name in profiles, and
// is returned to its executor without. With Inline it is the submitter's, and
// keeps its own labels.
func TestLabels(t *testing.T) {
	const label, own = `"fmmap":"go"`, `"own":"yes"`
	var returned sync.WaitGroup
	executors := map[string]async.Executor{
		"goroutines": nil,
		"inline":     async.Inline(),
		"function": async.ExecutorFunc(func(f func()) error {
			returned.Go(func() {
				f()
				if got := ownLabels(t); strings.Contains(got, label) {
					t.Errorf("a goroutine was returned with its label:\n%s", got)
				}
			})
			return nil
		}),
	}
	pprof.Do(t.Context(), pprof.Labels("own", "yes"), func(context.Context) {
		for name, e := range executors {
			p := open(t, async.PoolOptions{Executor: e})
			inTask(t, p, t.Context(), func(context.Context) {
				got := ownLabels(t)
				if inline := name == "inline"; strings.Contains(got, label) == inline || strings.Contains(got, own) != inline {
					t.Errorf("%s: wrong labels in\n%s", name, got)
				}
			})
			returned.Wait() // a profile of one goroutine at a time
		}
	})
}

// TestTraceRegions: an execution trace has a region for each task.
func TestTraceRegions(t *testing.T) {
	if trace.IsEnabled() {
		t.Skip("the test binary is being traced")
	}
	var b bytes.Buffer
	if err := trace.Start(&b); err != nil {
		t.Fatal(err)
	}
	p := open(t, async.PoolOptions{})
	err := async.Go(t.Context(), p, value(1)).Wait()
	trace.Stop()
	if err != nil || !bytes.Contains(b.Bytes(), []byte("fmmap.go")) {
		t.Errorf("no region in the trace (%v)", err)
	}
}
