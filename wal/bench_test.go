package wal_test

import (
	"fmt"
	"testing"

	"github.com/fmmap-go/fmmap/wal"
)

// BenchmarkAppend appends records of 256 bytes, each awaited, from a number of
// goroutines.
func BenchmarkAppend(b *testing.B) {
	for _, appenders := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(appenders), func(b *testing.B) {
			l := open(b, b.TempDir(), wal.Options{})
			r := make([]byte, 256)
			check(b, l.Append(r).Wait()) // begins the first segment
			b.SetParallelism(max(appenders/2, 1))
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := l.Append(r).Await(bg); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.StopTimer()
			s := l.Stats()
			b.ReportMetric(float64(s.Records)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(s.Records)/float64(s.Commits), "records/commit")
		})
	}
}

// BenchmarkRead reads records of 256 bytes that are in memory, one after the
// other.
func BenchmarkRead(b *testing.B) {
	l := open(b, b.TempDir(), wal.Options{})
	const n = 10_000
	for range n - 1 {
		l.Append(make([]byte, 256))
	}
	check(b, l.Append(make([]byte, 256)).Wait())
	var buf []byte
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		var err error
		if buf, err = l.Read(i%n+1, buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
}
