package wal_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/wal"
)

// image copies a log's directory as it is.
func image(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(memoryDir(t), "image")
	check(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// torn makes a directory between two images of a log that was open: what a power
// cut may leave of the stores between them. Each sector of a file is the older
// or the newer one.
func torn(t testing.TB, older, newer string, rng *rand.Rand) string {
	t.Helper()
	to := image(t, older)
	check(t, filepath.WalkDir(newer, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		check(t, err)
		name := filepath.Join(to, d.Name())
		old, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			old = make([]byte, len(b))
		}
		if short := len(b) - len(old); short > 0 { // a spare that was being written
			old = append(old, make([]byte, short)...)
		}
		for i := 0; i < len(b); i += 512 {
			if rng.IntN(2) == 0 {
				copy(old[i:], b[i:min(i+512, len(b))])
			}
		}
		return os.WriteFile(name, old, 0o644)
	}))
	return to
}

// After a power cut the log is a prefix of what was appended, with all that was
// acknowledged; and what is appended afterwards does not bring back what was
// lost.
func TestPowerCutLeavesAPrefix(t *testing.T) {
	rng := testutil.Rand(t)
	rounds := 40
	if testing.Short() {
		rounds = 8
	}
	for range rounds {
		dir := memoryDir(t)
		l := open(t, dir, small)
		acked := uint64(1 + rng.IntN(300)) // the segment is there
		for i := uint64(1); i <= acked; i++ {
			check(t, l.Append(record(i, 100)).Wait())
		}
		older := image(t, dir)
		lost := acked + uint64(rng.IntN(40))
		var batch [][]byte // none is acknowledged before all are
		for i := acked + 1; i <= lost; i++ {
			batch = append(batch, record(i, 100))
		}
		check(t, l.Append(batch...).Wait())
		newer := image(t, dir)
		check(t, l.Close())
		for range 10 {
			cut := torn(t, older, newer, rng)
			l := open(t, cut, small)
			last := l.Last()
			if last < acked || last > lost {
				t.Fatalf("%d acknowledged, %d appended, %d there", acked, lost, last)
			}
			for i := uint64(1); i <= last; i++ {
				if b, err := l.Read(i, nil); err != nil || !bytes.Equal(b, record(i, 100)) {
					t.Fatalf("record %d of %d: %q, %v", i, last, b, err)
				}
			}
			// Records of the same length, in the places of those that were lost.
			again := bytes.Repeat([]byte("again"), 21)[:len(record(last+1, 100))]
			check(t, l.Append(again).Wait())
			crashed := image(t, cut)
			check(t, l.Close())
			l = open(t, crashed, small)
			if l.Last() != last+1 {
				t.Fatalf("%d records after one was appended to %d", l.Last(), last)
			}
			check(t, l.Verify(bg))
			check(t, l.Close())
		}
	}
}

// A record that was durable and is damaged is reported, not cut off, though the
// log was not closed.
func TestDamageIsNotTakenForACrash(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, small)
	for i := uint64(1); i <= 50; i++ {
		check(t, l.Append(record(i, 100)).Wait())
	}
	pin, err := l.Load(bg, 20).Await(bg)
	check(t, err)
	off := pin.Offset()
	pin.Release()
	crashed := image(t, dir)
	name := segments(t, crashed)[0]
	flip(t, name, off*8)
	var damage *wal.CorruptError
	if _, err := wal.Open(bg, crashed, small); !errors.As(err, &damage) || damage.File != name || damage.Offset != off-16 {
		t.Fatalf("opened with record 20 damaged, at %d of %s: %v", off-16, name, err)
	}
	if _, err := wal.Open(bg, crashed, small); !errors.Is(err, wal.ErrCorrupt) {
		t.Fatalf("opened again: %v", err)
	}
	r, err := wal.Repair(bg, crashed, small)
	if err != nil || !errors.Is(r.Problem, wal.ErrCorrupt) || r.Last != 19 || len(r.Aside) == 0 {
		t.Fatalf("Repair: %+v, %v", r, err)
	}
	l = open(t, crashed, small)
	if l.Last() != 19 {
		t.Errorf("%d records after Repair", l.Last())
	}
	check(t, l.Append(record(20, 100)).Wait())
	check(t, l.Close())
	l = open(t, crashed, small)
	if b, err := l.Read(20, nil); err != nil || !bytes.Equal(b, record(20, 100)) || l.Last() != 20 {
		t.Errorf("record 20 of %d: %q, %v", l.Last(), b, err)
	}
}

// segments returns the names of the segment files that hold something.
func segments(t testing.TB, dir string) (names []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "segment-*.wal"))
	check(t, err)
	for _, name := range all {
		b, err := os.ReadFile(name)
		check(t, err)
		if bytes.ContainsFunc(b, func(r rune) bool { return r != 0 }) {
			names = append(names, name)
		}
	}
	return names
}

// flip inverts one bit of a file.
func flip(t testing.TB, name string, bit int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	check(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, bit/8)
	check(t, err)
	b[0] ^= 1 << (bit % 8)
	_, err = f.WriteAt(b, bit/8)
	check(t, err)
	check(t, f.Close())
}

// A bit that is wrong in a log that was closed is reported, or changes nothing
// that can be read.
func TestEveryBitIsCheckedOrHarmless(t *testing.T) {
	rng := testutil.Rand(t)
	dir := memoryDir(t)
	l := open(t, dir, small)
	const n = 20
	for i := uint64(1); i <= n; i++ {
		check(t, l.Append(record(i, 20)).Wait())
	}
	check(t, l.Set("term", []byte("7")))
	check(t, l.Close())
	whole := map[string][]byte{}
	for _, name := range append(segments(t, dir), filepath.Join(dir, "meta")) {
		b, err := os.ReadFile(name)
		check(t, err)
		whole[name] = b
	}
	reported, harmless := 0, 0
	for name, b := range whole {
		for i := range b {
			// Bytes that are zero are padding or unused, for the most part.
			if b[i] == 0 && rng.IntN(200) != 0 {
				continue
			}
			bits := []int{0, 1, 2, 3, 4, 5, 6, 7}
			if testing.Short() {
				if bits = []int{rng.IntN(8)}; rng.IntN(6) != 0 {
					continue
				}
			}
			for _, bit := range bits {
				for name, b := range whole { // opening has changed them
					check(t, os.WriteFile(name, b, 0o644))
				}
				flip(t, name, int64(i)*8+int64(bit))
				if reads(t, dir, n) {
					harmless++
				} else {
					reported++
				}
			}
		}
	}
	if reported == 0 || harmless == 0 {
		t.Errorf("%d reported, %d harmless", reported, harmless)
	}
	t.Logf("%d wrong bits reported, %d harmless", reported, harmless)
}

// reads reports whether the log opens and holds what it should; otherwise the
// error must say that it is corrupt.
func reads(t testing.TB, dir string, n uint64) bool {
	t.Helper()
	l, err := wal.Open(bg, dir, small)
	if err == nil {
		defer l.Close()
		if err = l.Verify(bg); err == nil {
			if v, _ := l.Get("term"); l.First() != 1 || l.Last() != n || string(v) != "7" {
				t.Fatalf("%d to %d, term %q, without an error", l.First(), l.Last(), v)
			}
			for i := uint64(1); i <= n; i++ {
				if b, err := l.Read(i, nil); err != nil || !bytes.Equal(b, record(i, 20)) {
					t.Fatalf("record %d: %q, %v, though Verify found nothing", i, b, err)
				}
			}
		}
	}
	if err != nil && !errors.Is(err, wal.ErrCorrupt) && !errors.Is(err, wal.ErrNotALog) {
		t.Fatalf("a wrong bit: %v", err)
	}
	return err == nil
}

// appendForever is a process that appends until it is killed, and says what has
// been acknowledged.
func appendForever() error {
	l, err := wal.Open(bg, os.Getenv("WAL_DIR"), small)
	if err != nil {
		return err
	}
	testutil.Say("%d", l.Last())
	for {
		last, err := l.Append(record(l.Last()+1, 100)).Await(bg)
		if err != nil {
			return err
		}
		testutil.Say("%d", last)
	}
}

func TestKilledProcessLosesNothing(t *testing.T) {
	dir := t.TempDir()
	rng := testutil.Rand(t)
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	for range rounds {
		p := testutil.Reexec(t, "append", "WAL_DIR="+dir)
		acked := uint64(0)
		for range 1 + rng.IntN(100) {
			n, err := strconv.ParseUint(strings.TrimSpace(p.Hear()), 10, 64)
			check(t, err)
			acked = n
		}
		p.Kill()
		l := open(t, dir, small)
		if l.Last() < acked {
			t.Fatalf("%d records, %d acknowledged", l.Last(), acked)
		}
		for i := max(1, l.Last()-min(l.Last(), 200)); i <= l.Last(); i++ {
			if b, err := l.Read(i, nil); err != nil || !bytes.Equal(b, record(i, 100)) {
				t.Fatalf("record %d of %d: %q, %v", i, l.Last(), b, err)
			}
		}
		check(t, l.Close())
	}
}

// Whatever bytes a segment holds, opening and reading neither panic nor return
// a wrong record.
func FuzzSegment(f *testing.F) {
	dir := f.TempDir()
	l := open(f, dir, small)
	for i := uint64(1); i <= 30; i++ {
		check(f, l.Append(record(i, 20)).Wait())
	}
	crashed := image(f, dir)
	check(f, l.Close())
	name := filepath.Base(segments(f, crashed)[0])
	whole, err := os.ReadFile(filepath.Join(crashed, name))
	check(f, err)
	f.Add(uint32(4096), []byte{1, 2, 3, 4})
	f.Add(uint32(4100), []byte{0xff, 0xff, 0xff, 0xff})
	f.Add(uint32(32), []byte{0})
	f.Fuzz(func(t *testing.T, at uint32, put []byte) {
		dir := image(t, crashed)
		b := bytes.Clone(whole)
		copy(b[int(at)%len(b):], put)
		check(t, os.WriteFile(filepath.Join(dir, name), b, 0o644))
		l, err := wal.Open(bg, dir, small)
		if err != nil {
			if !errors.Is(err, wal.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		defer l.Close()
		for i := l.First(); i <= l.Last(); i++ {
			if b, err := l.Read(i, nil); err == nil && !bytes.Equal(b, record(i, 20)) {
				t.Fatalf("record %d: %q", i, b)
			}
		}
	})
}
