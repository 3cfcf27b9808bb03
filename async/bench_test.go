package async_test

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/async"
)

// benchPools runs a benchmark with a pool over each executor.
func benchPools(b *testing.B, fn func(b *testing.B, p *async.Pool)) {
	for _, x := range backends {
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			fn(b, open(b, async.PoolOptions{Executor: x.make()}))
		})
	}
}

// BenchmarkSpawnAndAwait: one future at a time, beside a goroutine and a
// channel.
func BenchmarkSpawnAndAwait(b *testing.B) {
	task := value(1)
	benchPools(b, func(b *testing.B, p *async.Pool) {
		for b.Loop() {
			_, _ = async.Go(context.Background(), p, task).Await(context.Background())
		}
	})
	b.Run("go+channel", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ch := make(chan int, 1)
			go func() { ch <- 1 }()
			<-ch
		}
	})
}

// BenchmarkFanOut: 256 futures made, then all awaited; an operation is all of
// them.
func BenchmarkFanOut(b *testing.B) {
	const n = 256
	task := value(1)
	benchPools(b, func(b *testing.B, p *async.Pool) {
		fs := make([]*async.Future[int], n)
		for b.Loop() {
			for i := range fs {
				fs[i] = async.Go(context.Background(), p, task)
			}
			for _, f := range fs {
				_ = f.Wait()
			}
		}
	})
	b.Run("go+channel", func(b *testing.B) {
		b.ReportAllocs()
		chs := make([]chan int, n)
		for b.Loop() {
			for i := range chs {
				ch := make(chan int, 1)
				go func() { ch <- 1 }()
				chs[i] = ch
			}
			for _, ch := range chs {
				<-ch
			}
		}
	})
}

// BenchmarkResolved: what a resolved future costs.
func BenchmarkResolved(b *testing.B) {
	f := async.Ready(1)
	ctx := b.Context()
	b.Run("Await", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = f.Await(ctx)
		}
	})
	b.Run("Done", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			<-f.Done()
		}
	})
	var sink *async.Future[int]
	b.Run("Ready", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sink = async.Ready(1)
		}
	})
	_ = sink
}

// BenchmarkSubmitters: eight goroutines at one lane.
func BenchmarkSubmitters(b *testing.B) {
	task := value(1)
	benchPools(b, func(b *testing.B, p *async.Pool) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range b.N / 8 {
					_ = async.GoWait(context.Background(), p, task).Wait()
				}
			})
		}
		wg.Wait()
	})
}

// BenchmarkRatios measures spawning and awaiting against go+channel in slices
// of a millisecond, turn by turn, as disturbances of the machine last longer;
// it reports the ratios of the lower quartiles.
func BenchmarkRatios(b *testing.B) {
	task := value(1)
	channel := func(n int) {
		chs := make([]chan int, n)
		for i := range chs {
			ch := make(chan int, 1)
			go func() { ch <- 1 }()
			chs[i] = ch
		}
		for _, ch := range chs {
			<-ch
		}
	}
	for _, x := range backends {
		p := open(b, async.PoolOptions{Executor: x.make()})
		future := func(n int) {
			fs := make([]*async.Future[int], n)
			for i := range fs {
				fs[i] = async.Go(context.Background(), p, task)
			}
			for _, f := range fs {
				_ = f.Wait()
			}
		}
		for name, n := range map[string]int{"one": 1, "256": 256} {
			b.Run(x.name+"/"+name, func(b *testing.B) {
				var ours, theirs []time.Duration
				for b.Loop() {
					ours = append(ours, timed(future, n))
					theirs = append(theirs, timed(channel, n))
				}
				slices.Sort(ours)
				slices.Sort(theirs)
				b.ReportMetric(float64(ours[len(ours)/4])/float64(theirs[len(theirs)/4]), "ratio")
			})
		}
	}
}

// timed calls fn(n) until 2,048 have been spawned.
func timed(fn func(int), n int) time.Duration {
	start := time.Now()
	for range 2048 / n {
		fn(n)
	}
	return time.Since(start)
}

// BenchmarkOnBusyProcessors: one future at a time, with a hundred goroutines per
// processor that are always runnable, beside a goroutine and a channel.
func BenchmarkOnBusyProcessors(b *testing.B) {
	crowd := func(b *testing.B) {
		var stop atomic.Bool
		var all sync.WaitGroup
		for range 100 * runtime.GOMAXPROCS(0) {
			all.Go(func() {
				for !stop.Load() {
					for began := time.Now(); time.Since(began) < 20*time.Microsecond; {
					}
					runtime.Gosched()
				}
			})
		}
		b.Cleanup(func() { stop.Store(true); all.Wait() })
	}
	task := value(1)
	benchPools(b, func(b *testing.B, p *async.Pool) {
		crowd(b)
		for b.Loop() {
			_ = async.Go(context.Background(), p, task).Wait()
		}
	})
	b.Run("go+channel", func(b *testing.B) {
		crowd(b)
		for b.Loop() {
			ch := make(chan int, 1)
			go func() { ch <- 1 }()
			<-ch
		}
	})
}
