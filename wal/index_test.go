package wal_test

import (
	"bytes"
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/wal"
)

// Records of all lengths beside one another are found by the index: in the
// segment that is appended to, in sealed ones, after opening, and in a segment
// that was cut behind any of them.
func TestRecordsAreFoundByTheIndex(t *testing.T) {
	rng := testutil.Rand(t)
	dir := t.TempDir()
	l := open(t, dir, small)
	lengths := []int{0, 1, 7, 100, 1000, 4072, 4080, 4081, 9000, 20_000}
	var want [][]byte
	add := func() {
		t.Helper()
		rec := record(uint64(len(want)), lengths[rng.IntN(len(lengths))])
		want = append(want, rec)
		check(t, l.Append(rec).Wait())
	}
	look := func(when string) {
		t.Helper()
		for i, rec := range want {
			if b, err := l.Read(uint64(i+1), nil); err != nil || !bytes.Equal(b, rec) {
				t.Fatalf("%s, record %d of %d has %d bytes, want %d: %v", when, i+1, len(want), len(b), len(rec), err)
			}
		}
		i := 0
		for r, err := range l.Range(bg, 1) {
			check(t, err)
			if !bytes.Equal(r.Data, want[i]) {
				t.Fatalf("%s, record %d of a loop has %d bytes, want %d", when, i+1, len(r.Data), len(want[i]))
			}
			i++
		}
	}
	for range 200 {
		add()
	}
	look("appended")
	for len(want) > 12 {
		check(t, l.Close())
		l = open(t, dir, wal.Options{SegmentSize: 128 << 10})
		want = want[:len(want)-3-rng.IntN(10)]
		check(t, l.TruncateBack(bg, uint64(len(want))))
		look("cut")
		if rng.IntN(2) == 0 {
			add()
			add()
			look("appended to")
		}
		if l.Last() != uint64(len(want)) {
			t.Fatalf("the last is %d, want %d", l.Last(), len(want))
		}
	}
}
