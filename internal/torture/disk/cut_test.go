package disk_test

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

func newCutter(t testing.TB, d *disk.Disk) *disk.Cutter {
	t.Helper()
	c := must[*disk.Cutter](t)(d.NewCutter())
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// wantRecords compares the log with want, except for where the bytes are.
func wantRecords(t *testing.T, c *disk.Cutter, want []disk.Record) {
	t.Helper()
	got := must[[]disk.Record](t)(c.Records(c.Len()))
	same := slices.EqualFunc(got, want, func(a, b disk.Record) bool {
		return a.Op == b.Op && a.Off == b.Off && a.Len == b.Len && a.Covers == b.Covers
	})
	if !same {
		t.Errorf("the log is %+v, want %+v", got, want)
	}
}

// image is what a cut leaves.
func image(t testing.TB, c *disk.Cutter, pos int64, seed uint64) []byte {
	t.Helper()
	return must[[]byte](t)(os.ReadFile(must[string](t)(c.Cut(pos, seed))))
}

// What a flush has covered is in every image, and of what came later every fate
// is seen.
func TestCutKeepsWhatWasFlushed(t *testing.T) {
	d := disk.Start(t, mib)
	f := open(t, d)
	write(t, f, fill('a', 64*kib), 0)
	check(t, f.Sync())
	write(t, f, fill('b', 64*kib), 32*kib)
	c := newCutter(t, d)
	wantRecords(t, c, []disk.Record{
		{Op: disk.Write, Len: 64 * kib}, {Op: disk.Flush, Covers: 1}, {Op: disk.Write, Off: 32 * kib, Len: 64 * kib},
	})
	old := slices.Concat(fill('a', 64*kib), make([]byte, mib-64*kib))
	if !bytes.Equal(image(t, c, 2, 7), old) {
		t.Error("right after the flush the image is not what was flushed")
	}
	fates := map[string]int{}
	for seed := range uint64(60) {
		b := image(t, c, 3, seed)
		if !bytes.Equal(b[:32*kib], old[:32*kib]) || !bytes.Equal(b[96*kib:], old[96*kib:]) {
			t.Fatalf("seed %d: bytes changed that were not written after the flush", seed)
		}
		switch {
		case bytes.Equal(b, old):
			fates["lost"]++
		case bytes.Equal(b[32*kib:96*kib], fill('b', 64*kib)):
			fates["kept"]++
		default:
			fates["torn"]++
			for off := 32 * kib; off < 96*kib; off += 512 {
				if s := b[off : off+512]; !bytes.Equal(s, fill('b', 512)) && !bytes.Equal(s, old[off:off+512]) {
					t.Fatalf("seed %d: the sector at %d is neither old nor new", seed, off)
				}
			}
		}
	}
	for _, fate := range []string{"lost", "kept", "torn"} {
		if fates[fate] < 5 {
			t.Errorf("of 60 writes %v", fates)
		}
	}
	if first := image(t, c, 1, 7); bytes.Equal(first, old) && bytes.Equal(image(t, c, 1, 8), old) && bytes.Equal(image(t, c, 1, 9), old) {
		t.Error("before the flush the write is always there")
	}
}

// The same cut is the same image, whatever was cut before, and whatever a check
// has done to an image.
func TestCutIsRepeatable(t *testing.T) {
	d := disk.Start(t, mib)
	f := open(t, d)
	for i := range 40 {
		write(t, f, fill('a'+byte(i), 12*kib), int64(i*20*kib%(mib-12*kib))/512*512)
		if i%5 == 4 {
			check(t, f.Sync())
		}
	}
	c, other := newCutter(t, d), newCutter(t, d)
	n := c.Len()
	want := map[int64][]byte{}
	for pos := range n + 1 {
		want[pos] = bytes.Clone(image(t, c, pos, 3))
	}
	for pos := n; pos >= 0; pos-- {
		name := must[string](t)(other.Cut(pos, 99))
		check(t, os.WriteFile(name, fill('X', mib), 0o600)) // what a mount may write
		if !bytes.Equal(image(t, other, pos, 3), want[pos]) {
			t.Fatalf("at record %d of %d two cuts with the same seed differ", pos, n)
		}
	}
	name := must[string](t)(d.Cut(n, 3))
	if b := must[[]byte](t)(os.ReadFile(name)); !bytes.Equal(b, want[n]) {
		t.Error("the cut of the disk's own cutter differs")
	}
	for _, pos := range []int64{-1, n + 1} {
		if _, err := c.Cut(pos, 1); err == nil {
			t.Errorf("there is an image of the moment %d of %d", pos, n)
		}
	}
}

func TestLieMakesNothingDurable(t *testing.T) {
	d := disk.Start(t, mib)
	f := open(t, d)
	write(t, f, fill('a', 4*kib), 0)
	check(t, f.Sync())
	check(t, d.Lie(true))
	write(t, f, fill('b', 4*kib), 4*kib)
	check(t, f.Sync())
	c := newCutter(t, d)
	lost := 0
	for seed := range uint64(20) {
		b := image(t, c, c.Len(), seed)
		if b[0] != 'a' {
			t.Fatal("what an honest flush covered is lost")
		}
		if b[4*kib] == 0 {
			lost++
		}
	}
	check(t, d.Lie(false))
	check(t, f.Sync())
	if lost == 0 || image(t, c, c.Len(), 1)[4*kib] != 'b' {
		t.Errorf("lost in %d of 20 cuts after a lie; an honest flush later it is %q", lost, image(t, c, c.Len(), 1)[4*kib])
	}
}

// A write or flush that failed is not in the log.
func TestFailuresAreNotInTheLog(t *testing.T) {
	d := disk.Start(t, mib)
	f := open(t, d)
	check(t, d.Fail(disk.Fault{Op: disk.Write, Times: 1}))
	check(t, d.Fail(disk.Fault{Op: disk.Flush, Times: 1}))
	if _, err := f.WriteAt(fill('a', 4*kib), 0); err == nil {
		t.Fatal("the write did not fail")
	}
	if f.Sync() == nil {
		t.Fatal("the flush did not fail")
	}
	write(t, f, fill('b', 4*kib), 0)
	wantRecords(t, newCutter(t, d), []disk.Record{{Op: disk.Write, Len: 4 * kib}})
}
