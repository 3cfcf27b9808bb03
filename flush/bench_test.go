package flush_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/sys"
)

const (
	pageSize = 4096
	fileSize = 64 << 20
	slice    = 40 * time.Millisecond // long enough for some flushes, short enough for the disk to stay the same
)

// BenchmarkGroupCommit has callers that each store to a page of their own and
// want it durable, over and over: with a flush each (a bare msync), and through
// one Committer. The two take turns in short slices and the medians are
// compared, as disks change their speed from second to second.
//
//	group/s, msync/s   durable flushes a second
//	x-rate             the former by the latter; more is better
//	x-wait             the longest wait of any caller, ditto; less is better
//
// The pages lie side by side, as in a log or a table of counters, or at random
// places. There, in a file of large folios, each flush writes a MiB of its own
// and the device's bandwidth is the limit, not its flush: no grouping helps.
func BenchmarkGroupCommit(b *testing.B) {
	for _, each := range []int{1 << 20, 4 << 10} {
		for _, layout := range []string{"adjacent", "random"} {
			for _, callers := range []int{1, 8, 64, 256} {
				b.Run(fmt.Sprintf("written=%dK/%s/callers=%d", each>>10, layout, callers), func(b *testing.B) {
					f := openWritten(b, each)
					f.random = layout == "random"
					f.compare(b, callers, context.Background())
				})
			}
		}
	}
}

// BenchmarkGroupCommitWithDeadline is the same for callers with a deadline,
// which wait for another goroutine to run their batch even when they are alone.
func BenchmarkGroupCommitWithDeadline(b *testing.B) {
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("written=4K/adjacent/callers=%d", callers), func(b *testing.B) {
			openWritten(b, 4<<10).compare(b, callers, ctx)
		})
	}
}

// written is a file on the disk, mapped by core, and once more for bare msyncs.
type written struct {
	core   *core.File
	bytes  []byte
	plain  *sys.Mapping
	random bool
}

// openWritten makes a file by writes of so many bytes each, which decides about
// the size of its folios, and maps it.
func openWritten(b *testing.B, each int) *written {
	b.Helper()
	name := filepath.Join(b.TempDir(), "data")
	raw, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	check(b, err)
	b.Cleanup(func() { check(b, raw.Close()) })
	block := make([]byte, each)
	for i := range block {
		block[i] = byte(i)
	}
	for range fileSize / each {
		_, err := raw.Write(block)
		check(b, err)
	}
	check(b, raw.Sync())

	w := &written{}
	w.plain, err = sys.Map(raw, sys.MapOptions{Access: sys.ReadWrite, Len: fileSize, Reserve: fileSize})
	check(b, err)
	b.Cleanup(func() { check(b, w.plain.Unmap()) })
	w.core, err = core.OpenFile(name, core.Options{Access: core.ReadWrite})
	check(b, err)
	b.Cleanup(func() { check(b, w.core.Close()) })
	pin, err := w.core.Pin(0, fileSize)
	check(b, err)
	b.Cleanup(pin.Release)
	w.bytes = pin.Bytes()
	return w
}

func check(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// compare measures both ways in turn for as long as b runs, and reports the
// medians.
func (w *written) compare(b *testing.B, callers int, ctx context.Context) {
	c := flush.NewCommitter(w.core, flush.Options{})
	var group, plain, groupWait, plainWait []float64
	for b.Loop() {
		rate, longest := w.run(b, callers, func(off int64) error { return c.Flush(ctx, off, pageSize) })
		group, groupWait = append(group, rate), append(groupWait, longest)
		rate, longest = w.run(b, callers, func(off int64) error { return w.plain.Sync(off, pageSize) })
		plain, plainWait = append(plain, rate), append(plainWait, longest)
	}
	check(b, c.Close())
	b.ReportMetric(0, "ns/op") // of a slice: means nothing
	b.ReportMetric(median(group), "group/s")
	b.ReportMetric(median(plain), "msync/s")
	b.ReportMetric(median(group)/median(plain), "x-rate")
	b.ReportMetric(median(groupWait)/median(plainWait), "x-wait")
	b.ReportMetric(c.Stats().MeanBatch, "members/batch")
}

// run has callers store and flush for one slice, and returns how many times a
// second they did so together and the seconds of the longest wait.
func (w *written) run(b *testing.B, callers int, flush func(off int64) error) (rate, longest float64) {
	var wg sync.WaitGroup
	counts, waits := make([]int, callers), make([]time.Duration, callers)
	began := time.Now()
	for g := range callers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), uint64(began.UnixNano())))
			off := int64(g) * pageSize
			for now := time.Now(); now.Sub(began) < slice; {
				if w.random {
					off = rnd.Int64N(fileSize/pageSize) * pageSize
				}
				w.bytes[off+int64(g)]++
				asked := time.Now()
				if err := flush(off); err != nil {
					b.Error(err)
					return
				}
				now = time.Now()
				counts[g]++
				waits[g] = max(waits[g], now.Sub(asked))
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / time.Since(began).Seconds(), slices.Max(waits).Seconds()
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// BenchmarkJoin is the cost of a request that joins a batch.
func BenchmarkJoin(b *testing.B) {
	for _, bb := range []struct {
		name string
		gap  int64
		ask  func(c *flush.Committer, i int64)
	}{
		{"commit", 0, func(c *flush.Committer, i int64) { _ = c.Commit(i, 1) }},
		{"gap", 1 << 10, func(c *flush.Committer, i int64) { _ = c.Commit(i&0xffff, 1) }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			q := &queue{}
			c := flush.NewCommitter(&recorder{}, flush.Options{Execute: q.execute, Gap: bb.gap})
			b.ReportAllocs()
			for i := int64(0); b.Loop(); i++ {
				bb.ask(c, i)
			}
			q.runOne()
		})
		b.Run(bb.name+"/parallel", func(b *testing.B) {
			q := &queue{}
			c := flush.NewCommitter(&recorder{}, flush.Options{Execute: q.execute, Gap: bb.gap})
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := int64(0); pb.Next(); i++ {
					bb.ask(c, i)
				}
			})
			q.runOne()
		})
	}
}

// nop is a target that costs nothing.
type nop struct{}

func (nop) FlushRange(off, n int64) error { return nil }

// BenchmarkFlushAlone is what a committer adds to the flush of a lone caller:
// in its own goroutine, by one of the committer's, and by an executor's.
func BenchmarkFlushAlone(b *testing.B) {
	hurried, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	for _, bb := range []struct {
		name    string
		ctx     context.Context
		execute func(func(error)) error
	}{
		{"in place", context.Background(), nil},
		{"deadline", hurried, nil},
		{"goroutine each", context.Background(), spawn},
		{"inline", context.Background(), inline},
	} {
		b.Run(bb.name, func(b *testing.B) {
			c := flush.NewCommitter(nop{}, flush.Options{Execute: bb.execute})
			b.ReportAllocs()
			for b.Loop() {
				check(b, c.Flush(bb.ctx, 0, 1))
			}
			check(b, c.Close())
		})
	}
}

// BenchmarkMarkDirty is the cost of a mark, with both limits set.
func BenchmarkMarkDirty(b *testing.B) {
	bg := flush.NewBackground(flush.NewCommitter(nop{}, flush.Options{}), flush.Policy{Interval: time.Second, DirtyBytes: 1 << 20})
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			bg.MarkDirty(64)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				bg.MarkDirty(64)
			}
		})
	})
	check(b, bg.Close())
}
