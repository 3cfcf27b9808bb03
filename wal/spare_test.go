package wal_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/wal"
)

// segmentFiles returns the names of the segment files in dir, and their lengths
// together.
func segmentFiles(t *testing.T, dir string) (names []string, bytes int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "segment-*"))
	check(t, err)
	for _, name := range names {
		fi, err := os.Stat(name)
		check(t, err)
		bytes += fi.Size()
	}
	slices.Sort(names)
	return names, bytes
}

// The first record of a log is durable as soon as a short segment is written
// ahead. Later ones grow up to the standard size, and are there in time.
func TestTheFirstAppendWritesLittleAhead(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, wal.Options{SegmentSize: 8 << 20})
	check(t, l.Append([]byte("first")).Wait())
	if names, bytes := segmentFiles(t, dir); len(names) != 1 || bytes > 1<<20 {
		t.Errorf("%d segment files of %d bytes after the first record, want one of 1 MiB at most", len(names), bytes)
	}
	rec := make([]byte, 64<<10)
	for i, want := range []int64{4 << 20, 8 << 20, 8 << 20} {
		size := []int64{1 << 20, 4 << 20, 8 << 20}[i]
		_, before := segmentFiles(t, dir)
		for end := int64(0); end < size*7/8; end += int64(len(rec)) {
			check(t, l.Append(rec).Wait())
		}
		testutil.WaitUntil(t, "a spare is written", func() bool { return l.Stats().Spares == 1 })
		if _, bytes := segmentFiles(t, dir); bytes != before+want || l.Stats().Segments != i+1 {
			t.Errorf("%d bytes of %d segments, want %d and %d", bytes, l.Stats().Segments, before, want)
		}
		for l.Stats().Segments == i+1 {
			check(t, l.Append(rec).Wait())
		}
	}
}

// Where truncation leaves a file before half of the next one is full, none is
// written ahead.
func TestSteadyStateWritesNothingAhead(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, small)
	rec := record(1, 8<<10)
	roll := func() {
		t.Helper()
		for n := l.Stats().Segments; l.Stats().Segments == n; {
			check(t, l.Append(rec).Wait())
		}
	}
	roll()
	roll()
	names, _ := segmentFiles(t, dir)
	for range 20 {
		check(t, l.TruncateFront(l.Last()))
		testutil.WaitUntil(t, "a file is kept", func() bool { return l.Stats().Spares == 1 })
		roll()
		now, _ := segmentFiles(t, dir)
		if made := slices.DeleteFunc(now, func(name string) bool { return slices.Contains(names, name) }); len(made) > 0 {
			t.Fatalf("the files were %v, and there is %v now", names, made)
		}
	}
}
