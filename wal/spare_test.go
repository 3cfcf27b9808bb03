package wal_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/fmmap-go/fmmap/internal/sys"
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

// A spare is written ahead where flushes are small. Where they are large its blocks
// are allocated alone, and the log is as whole.
func TestSparesOfLargeFlushesAreAllocated(t *testing.T) {
	for name, c := range map[string]struct {
		batch     int // records of 16 KiB
		allocated bool
	}{"small": {1, false}, "large": {16, true}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			o := wal.Options{SegmentSize: 8 << 20}
			l := open(t, dir, o)
			var allocated atomic.Int32
			restore := wal.ObserveAllocate(func(string) { allocated.Add(1) })
			for batch := uint64(0); l.Stats().Segments < 5; batch++ {
				var records [][]byte
				for i := range uint64(c.batch) {
					records = append(records, record(batch*uint64(c.batch)+i+1, 16<<10))
				}
				check(t, l.Append(records...).Wait())
			}
			last := l.Last()
			check(t, l.Close()) // ends what is being made
			restore()
			if n := allocated.Load(); (n >= 3) != c.allocated || !c.allocated && n > 0 {
				t.Errorf("of %d segments %d were allocated alone", 5, n)
			}
			l = open(t, dir, o)
			check(t, l.Verify(t.Context()))
			if l.Last() != last {
				t.Errorf("opened again: the last record is %d, want %d", l.Last(), last)
			}
		})
	}
}

// A log that is opened again knows nothing of its flushes before, and takes none of
// its records for a large one.
func TestSparesOfALogThatWasOpenedAgain(t *testing.T) {
	dir := t.TempDir()
	o := wal.Options{SegmentSize: 1 << 20}
	l := open(t, dir, o)
	for i := range uint64(140) {
		check(t, l.Append(record(i+1, 4<<10)).Wait())
	}
	check(t, l.Close())
	var allocated atomic.Int32
	defer wal.ObserveAllocate(func(string) { allocated.Add(1) })()
	l = open(t, dir, o)
	for i := range uint64(200) {
		check(t, l.Append(record(141+i, 4<<10)).Wait())
	}
	check(t, l.Close())
	if n := allocated.Load(); n > 0 {
		t.Errorf("%d segments were allocated and not written ahead", n)
	}
}

// Where the file system cannot allocate, a spare is written ahead.
func TestSparesThatCannotBeAllocated(t *testing.T) {
	defer sys.Inject(func(op sys.Op) error {
		if op == sys.OpFallocate {
			return errors.ErrUnsupported
		}
		return nil
	})()
	l := open(t, t.TempDir(), wal.Options{SegmentSize: 1 << 20})
	for range 20 {
		check(t, l.Append(make([]byte, 200<<10)).Wait())
	}
	check(t, l.Verify(t.Context()))
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

// A spare that an earlier process has made may be lost by a power cut, with its
// name, until it is synced, and the records in it too. So its bytes and its name
// are synced before anything is stored in it.
func TestFoundSpareIsSyncedBeforeItIsUsed(t *testing.T) {
	dir := memoryDir(t)
	l := open(t, dir, small)
	rec := record(1, 8<<10)
	check(t, l.Append(rec).Wait())
	crashed := image(t, dir) // the process was killed as it had written the spare
	check(t, l.Close())
	spare := filepath.Join(crashed, "segment-00000099.wal")
	check(t, os.WriteFile(spare, make([]byte, small.SegmentSize), 0o644))
	l = open(t, crashed, small)
	if n := l.Stats().Spares; n != 1 {
		t.Fatalf("%d spares, want the one that was left", n)
	}

	var bytesSynced, nameSynced atomic.Bool
	unused := func() bool {
		b, err := os.ReadFile(spare)
		return err == nil && !bytes.ContainsFunc(b, func(r rune) bool { return r != 0 })
	}
	t.Cleanup(wal.ObserveFileSync(func(name string) {
		if name == spare && unused() {
			bytesSynced.Store(true)
		}
	}))
	t.Cleanup(sys.Inject(func(op sys.Op) error {
		if op == sys.OpFsyncDir && unused() {
			nameSynced.Store(true)
		}
		return nil
	}))
	for l.Stats().Segments == 1 {
		check(t, l.Append(rec).Wait())
	}
	if unused() {
		t.Fatal("the spare has not been used")
	}
	if !bytesSynced.Load() || !nameSynced.Load() {
		t.Errorf("synced before the spare was used: its bytes %v, its name %v, want both", bytesSynced.Load(), nameSynced.Load())
	}
}
