package flush_test

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"testing"

	"github.com/fmmap-go/fmmap/flush"
)

// FuzzHull commits arbitrary ranges while the runner is held back, and compares
// which of them are refused, and what the batch then flushes, with arithmetic
// that cannot overflow.
func FuzzHull(f *testing.F) {
	pairs := func(v ...int64) (b []byte) {
		for _, x := range v {
			b = binary.BigEndian.AppendUint64(b, uint64(x))
		}
		return b
	}
	f.Add(int64(1<<20), pairs(0, 1, 4096, 4096))
	f.Add(int64(math.MaxInt64), pairs(math.MaxInt64, 1, math.MaxInt64-1, 1, math.MinInt64, math.MinInt64))
	f.Add(int64(-1), pairs(-1, 1, 1, -1, 0, 0, math.MaxInt64, math.MaxInt64))
	f.Add(int64(100), pairs(50, 50, 51, 50, 100, 0, 101, 0))
	f.Fuzz(func(t *testing.T, length int64, ranges []byte) {
		target := &recorder{}
		s := &sized{recorder: target}
		s.length.Store(length)
		var to flush.Target = s
		if length < 0 { // does not tell
			to, length = target, math.MaxInt64
		}
		q := &queue{}
		c := flush.NewCommitter(to, flush.Options{Execute: q.execute})
		var batch *flush.Batch
		var lo, hi *big.Int
		for ; len(ranges) >= 16; ranges = ranges[16:] {
			off, n := int64(binary.BigEndian.Uint64(ranges)), int64(binary.BigEndian.Uint64(ranges[8:]))
			end := new(big.Int).Add(big.NewInt(off), big.NewInt(n))
			b := c.Commit(off, n)
			switch {
			case off < 0 || n < 0 || end.Cmp(big.NewInt(length)) > 0:
				if !isDone(b) || !errors.Is(b.Err(), flush.ErrRange) {
					t.Fatalf("Commit(%d, %d) of %d: done %v, %v; want ErrRange", off, n, length, isDone(b), b.Err())
				}
			case n == 0:
				if !isDone(b) || b.Err() != nil {
					t.Fatalf("Commit(%d, 0): done %v, %v", off, isDone(b), b.Err())
				}
			default:
				if isDone(b) || batch != nil && b != batch {
					t.Fatalf("Commit(%d, %d) of %d: done %v, same batch %v", off, n, length, isDone(b), b == batch)
				}
				batch = b
				if start := big.NewInt(off); lo == nil || start.Cmp(lo) < 0 {
					lo = start
				}
				if hi == nil || end.Cmp(hi) > 0 {
					hi = end
				}
			}
		}
		for q.runOne() {
		}
		calls := target.seen()
		if batch == nil {
			if len(calls) != 0 {
				t.Fatalf("calls %v for no valid range", calls)
			}
			return
		}
		want := rng{lo.Int64(), new(big.Int).Sub(hi, lo).Int64()}
		if len(calls) != 1 || calls[0] != want || batch.Err() != nil || !isDone(batch) {
			t.Fatalf("calls %v, %v; want %v alone", calls, batch.Err(), want)
		}
	})
}
