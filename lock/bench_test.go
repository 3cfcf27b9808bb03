package lock_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/lock"
)

// BenchmarkUncontended compares an uncontended lock with the two system calls
// that it consists of. (Those again are compared with bare flock(2) in
// internal/sys.) The two take turns, a hundred pairs each, and the shortest
// turns count, since a busy machine makes all others longer.
//
//	ns/pair, calls-ns/pair   a pair of Try, or Acquire, and Release; the two system calls
//	x-calls                  the former by the latter
func BenchmarkUncontended(b *testing.B) {
	for _, bb := range []struct {
		name string
		take func(l *lock.Lock) error
	}{
		{"Try", func(l *lock.Lock) error { return l.Try(lock.Exclusive) }},
		{"Acquire", func(l *lock.Lock) error { return l.Acquire(context.Background(), lock.Exclusive) }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			name := tempFile(b)
			fl, l := stranger(b, name), lock.New(open(b, name))
			ours, calls := time.Hour, time.Hour
			b.ReportAllocs()
			for b.Loop() {
				calls = min(calls, hundred(b, func() bool { return fl.Set(sys.LockExclusive) == nil && fl.Set(sys.Unlocked) == nil }))
				ours = min(ours, hundred(b, func() bool { return bb.take(l) == nil && l.Release() == nil }))
			}
			b.ReportMetric(float64(ours)/100, "ns/pair")
			b.ReportMetric(float64(calls)/100, "calls-ns/pair")
			b.ReportMetric(float64(ours)/float64(calls), "x-calls")
			b.ReportMetric(0, "ns/op") // of a hundred of each: means nothing
		})
	}
}

// hundred returns how long a hundred calls of pair take.
func hundred(b *testing.B, pair func() bool) time.Duration {
	began := time.Now()
	for range 100 {
		if !pair() {
			b.Fatal("the lock is not available")
		}
	}
	return time.Since(began)
}

// BenchmarkHandOver has goroutines hand one exclusive lock on: how long each
// waits for its turn, and what a turn costs in system calls.
func BenchmarkHandOver(b *testing.B) {
	const workers = 64
	for _, files := range []string{"one file", "own files"} {
		b.Run(fmt.Sprintf("%s/%d", files, workers), func(b *testing.B) {
			name := tempFile(b)
			shared := open(b, name)
			var calls, turns atomic.Int64
			waits := make([][]time.Duration, workers)
			var wg sync.WaitGroup
			run := func(i int, f *os.File) {
				l := lock.New(f)
				waits[i] = make([]time.Duration, 0, b.N/workers+1)
				for turns.Add(1) <= int64(b.N) {
					began := time.Now()
					if err := l.Acquire(b.Context(), lock.Exclusive); err != nil {
						b.Error(err)
						return
					}
					waits[i] = append(waits[i], time.Since(began))
					if err := l.Release(); err != nil {
						b.Error(err)
						return
					}
				}
			}
			open := func() *os.File {
				if files == "one file" {
					return shared
				}
				return open(b, name)
			}
			fs := make([]*os.File, workers)
			for i := range fs {
				fs[i] = open()
			}
			defer sys.Inject(func(sys.Op) error { calls.Add(1); return nil })()
			b.ReportAllocs()
			b.ResetTimer()
			for i, f := range fs {
				wg.Go(func() { run(i, f) })
			}
			wg.Wait()
			b.StopTimer()
			all := slices.Concat(waits...)
			slices.Sort(all)
			b.ReportMetric(float64(calls.Load())/float64(b.N), "calls/turn")
			b.ReportMetric(float64(all[len(all)/2]), "p50-wait-ns")
			b.ReportMetric(float64(all[len(all)*99/100]), "p99-wait-ns")
		})
	}
}
