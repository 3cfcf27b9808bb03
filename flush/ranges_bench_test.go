package flush_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// BenchmarkHull is what [flush.Options] says of Gap: pages at random places are
// made durable by one call for their hull, by a call for each, and by one call
// for the hull after the write-back of each has begun; with nothing else dirty,
// and with 256 other pages dirty that no request waits for. The three take
// turns; the medians count, in ms.
func BenchmarkHull(b *testing.B) {
	for _, others := range []int{0, 256} {
		for _, pages := range []int{2, 8, 64} {
			b.Run(fmt.Sprintf("others=%d/pages=%d", others, pages), func(b *testing.B) {
				f := openWritten(b, 1<<20)
				rnd := rand.New(rand.NewPCG(uint64(others), uint64(pages)))
				var took [3][]float64
				for b.Loop() {
					for way := range took {
						check(b, f.plain.Sync(0, fileSize))
						f.touch(rnd, others)
						took[way] = append(took[way], f.hull(b, way, f.touch(rnd, pages)))
					}
				}
				b.ReportMetric(0, "ns/op") // of all three and the touching: means nothing
				for way, unit := range []string{"hull-ms", "each-ms", "begun+hull-ms"} {
					b.ReportMetric(median(took[way]), unit)
				}
			})
		}
	}
}

// touch makes n pages at random places dirty, and returns their offsets.
func (w *written) touch(rnd *rand.Rand, n int) (offs []int64) {
	for range n {
		off := rnd.Int64N(fileSize/pageSize) * pageSize
		w.bytes[off]++
		offs = append(offs, off)
	}
	return offs
}

// hull makes the pages at offs durable in one of the three ways, and says how
// many ms that takes.
func (w *written) hull(b *testing.B, way int, offs []int64) float64 {
	began := time.Now()
	switch way {
	case 1:
		for _, off := range offs {
			check(b, w.plain.Sync(off, pageSize))
		}
	case 2:
		for _, off := range offs {
			check(b, w.core.StartWriteback(off, pageSize))
		}
		fallthrough
	default:
		lo := slices.Min(offs)
		check(b, w.plain.Sync(lo, slices.Max(offs)+pageSize-lo))
	}
	return math.Round(float64(time.Since(began).Microseconds())) / 1000
}
