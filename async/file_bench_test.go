package async_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// written makes a file of size bytes by writes of 1 MiB, durable and mapped for
// reading and writing, on the disk that has TMPDIR.
func written(b *testing.B, p *async.Pool, size int64) *async.File {
	b.Helper()
	name := filepath.Join(b.TempDir(), "file")
	out, err := os.Create(name)
	check(b, err)
	chunk := make([]byte, 1<<20)
	for i := range chunk {
		chunk[i] = byte(i*7 + i>>8)
	}
	for range size / int64(len(chunk)) {
		_, err := out.Write(chunk)
		check(b, err)
	}
	check(b, out.Sync())
	check(b, out.Close())
	return opened(b, p, name, core.Options{Access: core.ReadWrite})
}

// BenchmarkLoadResident measures a Load of 4 KiB that are in memory. A pin and its
// release are a part of it.
func BenchmarkLoadResident(b *testing.B) {
	ctx := context.Background()
	p := open(b, async.PoolOptions{})
	f := written(b, p, 64<<20)
	b.Run("seen/try", func(b *testing.B) {
		check(b, f.PageIn(ctx, 0, 1<<20).Wait())
		b.ReportAllocs()
		for b.Loop() {
			if pin, ok := f.TryLoad(4096, 4096); ok {
				pin.Release()
			}
		}
	})
	b.Run("seen/load", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			pin, err := f.Load(ctx, 4096, 4096).Await(ctx)
			if err != nil {
				b.Fatal(err)
			}
			pin.Release()
		}
	})
	b.Run("seen/page-in", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := f.PageIn(ctx, 4096, 4096).Wait(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("seen/read", func(b *testing.B) {
		buf := make([]byte, 64)
		b.ReportAllocs()
		for b.Loop() {
			_, err := f.ReadAt(ctx, buf, 4096).Await(ctx)
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("probe", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			async.ForgetSeen()
			pin, err := f.Load(ctx, 4096, 4096).Await(ctx)
			if err != nil {
				b.Fatal(err)
			}
			pin.Release()
		}
	})
	b.Run("mincore alone", func(b *testing.B) { // most of a probe
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := f.Core().Resident(4096, 4096); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("pin alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			pin, err := f.Core().Pin(4096, 4096)
			if err != nil {
				b.Fatal(err)
			}
			pin.Release()
		}
	})
}

// BenchmarkCold has 64 goroutines read random bytes of a file that is not in
// memory, on two Ps, each yielding after each request. It compares touching the
// mapping with Load, in turns: ns/op is that of both together, the rates and
// their ratio are what counts.
func BenchmarkCold(b *testing.B) {
	const readers, fileSize = 64, 1 << 30
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	p := open(b, async.PoolOptions{})
	f := written(b, p, fileSize)
	check(b, f.Core().Advise(core.AdviceRandom, 0, fileSize))
	ctx := context.Background()

	round := func(size int64, requests int, read func(off, n int64)) time.Duration {
		chill(b, f)
		async.ForgetSeen()
		var left atomic.Int64
		left.Store(int64(requests))
		var wg sync.WaitGroup
		began := time.Now()
		for range readers {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					read(rand.Int64N(fileSize/size)*size, size)
					runtime.Gosched()
				}
			})
		}
		wg.Wait()
		return time.Since(began)
	}
	use := func(pin *core.Pin) {
		check(b, pin.Do(func(v []byte) error {
			for i := 0; i < len(v); i += 4096 {
				sink.Store(int64(v[i]))
			}
			return nil
		}))
		pin.Release()
	}
	for _, c := range []struct {
		size     int64
		requests int
	}{{4 << 10, 8192}, {64 << 10, 2048}} {
		b.Run(fmt.Sprintf("%dKiB", c.size>>10), func(b *testing.B) {
			var touched, loaded time.Duration
			for b.Loop() {
				touched += round(c.size, c.requests, func(off, n int64) {
					pin, err := f.Core().Pin(off, n)
					check(b, err)
					use(pin)
				})
				loaded += round(c.size, c.requests, func(off, n int64) {
					pin, err := f.Load(ctx, off, n).Await(ctx)
					check(b, err)
					use(pin)
				})
			}
			all := float64(b.N * c.requests)
			b.ReportMetric(all/touched.Seconds(), "touched/s")
			b.ReportMetric(all/loaded.Seconds(), "loaded/s")
			b.ReportMetric(touched.Seconds()/loaded.Seconds(), "x")
		})
	}
}

var sink atomic.Int64

// BenchmarkFlush has 256 goroutines store to a page of their own and make it
// durable, by a system call each or by futures, in turns. The pages lie side by
// side, 256 to a folio of the page cache: far apart, each would have a MiB of its
// own written, and only the disk would count.
func BenchmarkFlush(b *testing.B) {
	const callers, fileSize, each = 256, 256 << 20, 8
	p := open(b, async.PoolOptions{})
	f := written(b, p, fileSize)
	round := func(flush func(off, n int64) error) time.Duration {
		var wg sync.WaitGroup
		began := time.Now()
		for i := range callers {
			wg.Go(func() {
				off := int64(i) * 4096
				pin, err := f.Core().Pin(off, 4096)
				check(b, err)
				defer pin.Release()
				for range each {
					pin.Bytes()[0]++
					check(b, flush(off, 4096))
				}
			})
		}
		wg.Wait()
		return time.Since(began)
	}
	var alone, grouped time.Duration
	for b.Loop() {
		alone += round(f.Core().FlushRange)
		grouped += round(func(off, n int64) error { return f.FlushRange(off, n).Wait() })
	}
	all := float64(b.N * callers * each)
	b.ReportMetric(all/alone.Seconds(), "alone/s")
	b.ReportMetric(all/grouped.Seconds(), "grouped/s")
	b.ReportMetric(alone.Seconds()/grouped.Seconds(), "x")
}

// BenchmarkJoin measures joining a batch that other callers have begun.
func BenchmarkJoin(b *testing.B) {
	p := open(b, async.PoolOptions{})
	f := written(b, p, 1<<20)
	var last *async.Future[struct{}]
	b.ReportAllocs()
	for b.Loop() {
		last = f.FlushRange(0, 4096)
	}
	check(b, last.Wait())
}
