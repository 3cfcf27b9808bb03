package wal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
	"github.com/fmmap-go/fmmap/wal"
)

func TestMain(m *testing.M) {
	testutil.PrivateMounts()
	testutil.RunRole(map[string]func() error{"append": appendForever})
	testutil.VerifyMain(m)
}

var bg = context.Background()

// small are options under which a few records fill a segment.
var small = wal.Options{SegmentSize: 64 << 10}

func open(t testing.TB, dir string, o wal.Options) *wal.Log {
	t.Helper()
	l, err := wal.Open(bg, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
			t.Error(err)
		}
	})
	return l
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// record is a record whose bytes say which one it is.
func record(i uint64, n int) []byte {
	b := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, n/2+1)[:n]
	return append(fmt.Appendf(nil, "%d:", i), b...)
}

func TestRecordsAreThereAgain(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, small)
	for i := uint64(1); i <= 1000; i++ {
		last, err := l.Append(record(i, int(i)%700)).Await(bg)
		check(t, err)
		if last != i {
			t.Fatalf("index %d, want %d", last, i)
		}
	}
	for round := range 3 {
		for i := uint64(1); i <= 1000; i++ {
			b, err := l.Read(i, nil)
			if err != nil || !bytes.Equal(b, record(i, int(i)%700)) {
				t.Fatalf("round %d: record %d: %q, %v", round, i, b, err)
			}
			pin, err := l.Load(bg, i).Await(bg)
			check(t, err)
			if !bytes.Equal(pin.Bytes(), b) {
				t.Fatalf("Load of %d: %q", i, pin.Bytes())
			}
			pin.Release()
		}
		i := uint64(1)
		for r, err := range l.Range(bg, 1) {
			check(t, err)
			if r.Index != i || !bytes.Equal(r.Data, record(i, int(i)%700)) {
				t.Fatalf("Range: %d is %q, want %d", r.Index, r.Data, i)
			}
			i++
		}
		if i != 1001 {
			t.Fatalf("Range ended before %d", i)
		}
		check(t, l.Verify(bg))
		check(t, l.Close())
		l = open(t, dir, small)
		if l.First() != 1 || l.Last() != 1000 {
			t.Fatalf("opened again: %d to %d", l.First(), l.Last())
		}
	}
	if s := l.Stats(); s.Segments < 5 || s.Mapped == 0 {
		t.Errorf("%+v", s)
	}
}

func TestSecondOpenerIsLockedOut(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, small)
	_, err := wal.Open(bg, dir, small)
	if !errors.Is(err, lock.ErrLocked) || !errors.Is(err, lock.ErrLockedHere) {
		t.Errorf("second Open: %v", err)
	}
	if text := fmt.Sprint(err); !strings.Contains(text, "Options.Wait") || strings.Contains(text, "NoLock") {
		t.Errorf("second Open: %q offers what wal.Options lacks, or not what it has", text)
	}
	check(t, l.Close())
	open(t, dir, small)
}

func TestOpenWaits(t *testing.T) {
	waiting := small
	waiting.Wait = true
	dir := t.TempDir()
	l := open(t, dir, small)
	ended, cancel := context.WithCancel(bg)
	cancel()
	if _, err := wal.Open(ended, dir, waiting); !errors.Is(err, context.Canceled) {
		t.Errorf("Open with a context that has ended: %v", err)
	}
	opened := make(chan error, 1)
	go func() {
		l, err := wal.Open(bg, dir, waiting)
		if err == nil {
			err = l.Close()
		}
		opened <- err
	}()
	_, err := l.Append([]byte("one")).Await(bg)
	check(t, err)
	select {
	case err := <-opened:
		t.Fatalf("Open beside an open log: %v", err)
	default:
	}
	check(t, l.Close())
	check(t, <-opened)
}

func TestRefusals(t *testing.T) {
	l := open(t, t.TempDir(), small)
	_, err := l.Append([]byte("one"), []byte("two")).Await(bg)
	check(t, err)
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"AppendAt of a later index", l.AppendAt(7, []byte("x")).Wait(), wal.ErrIndex},
		{"AppendAt of an earlier index", l.AppendAt(2, []byte("x")).Wait(), wal.ErrIndex},
		{"Load of 0", l.Load(bg, 0).Wait(), wal.ErrNotFound},
		{"Load of the next", l.Load(bg, 3).Wait(), wal.ErrNotFound},
		{"TruncateFront past the end", l.TruncateFront(9), wal.ErrNotFound},
		{"Reset to 0", l.Reset(0), wal.ErrIndex},
		{"Set of too much", l.Set("k", make([]byte, 1<<20)), wal.ErrTooLarge},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.err, c.want)
		}
	}
	if last, err := l.AppendAt(3, []byte("three")).Await(bg); last != 3 || err != nil {
		t.Errorf("AppendAt(3): %d, %v", last, err)
	}
	if last, err := l.Append().Await(bg); last != 3 || err != nil {
		t.Errorf("Append of none: %d, %v", last, err)
	}
	check(t, l.Close())
	if err := l.Append([]byte("x")).Wait(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Append after Close: %v", err)
	}
	if err := l.Load(bg, 1).Wait(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Load after Close: %v", err)
	}
	if err := l.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

// A model of a log: records first..first+len-1, and the map.
type model struct {
	first   uint64
	records [][]byte
	values  map[string]string
}

// The log behaves as a slice of records does, whatever is done to it, also
// across openings.
func TestLogAgainstModel(t *testing.T) {
	rng := testutil.Rand(t)
	dir := t.TempDir()
	l := open(t, dir, small)
	m := model{first: 1, values: map[string]string{}}
	steps := 1000
	if testing.Short() {
		steps = 300
	}
	for step := range steps {
		switch op := rng.IntN(100); {
		case op < 50:
			m.append(t, l, rng)
		case op < 75:
			m.read(t, l, rng)
		case op < 80:
			m.ranged(t, l, rng)
		case op < 86:
			first := m.first + rng.Uint64N(uint64(len(m.records)/4)+1)
			check(t, l.TruncateFront(first))
			m.records, m.first = m.records[first-m.first:], first
		case op < 92:
			keep := uint64(len(m.records)) - rng.Uint64N(uint64(len(m.records)/4)+1)
			check(t, l.TruncateBack(bg, m.first+keep-1))
			m.records = m.records[:keep]
		case op < 95:
			k, v := fmt.Sprint(rng.IntN(5)), fmt.Sprint(step)
			check(t, l.Set(k, []byte(v)))
			m.values[k] = v
		case op < 96:
			next := m.first + uint64(len(m.records)) + rng.Uint64N(1000)
			check(t, l.Reset(next))
			m.first, m.records = next, nil
		default:
			check(t, l.Close())
			l = open(t, dir, small)
		}
		if l.First() != m.first || l.Last() != m.first+uint64(len(m.records))-1 {
			t.Fatalf("step %d: %d to %d, want %d to %d", step, l.First(), l.Last(), m.first, m.first+uint64(len(m.records))-1)
		}
		for k, v := range m.values {
			if got, ok := l.Get(k); !ok || string(got) != v {
				t.Fatalf("step %d: Get(%s) = %q, %t, want %q", step, k, got, ok, v)
			}
		}
	}
	check(t, l.Verify(bg))
}

func (m *model) append(t *testing.T, l *wal.Log, rng *rand.Rand) {
	t.Helper()
	var rs [][]byte
	for range rng.IntN(20) {
		n := rng.IntN(400)
		if rng.IntN(50) == 0 {
			n = rng.IntN(100_000) // more than a segment, some of them
		}
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		rs = append(rs, b)
	}
	var last uint64
	var err error
	if rng.IntN(2) == 0 {
		last, err = l.Write(bg, rs...)
	} else {
		last, err = l.Append(rs...).Await(bg)
	}
	check(t, err)
	m.records = append(m.records, rs...)
	if want := m.first + uint64(len(m.records)) - 1; last != want {
		t.Fatalf("appended up to %d, want %d", last, want)
	}
}

func (m *model) read(t *testing.T, l *wal.Log, rng *rand.Rand) {
	t.Helper()
	if len(m.records) == 0 {
		return
	}
	i := rng.IntN(len(m.records))
	b, err := l.Read(m.first+uint64(i), nil)
	if err != nil || !bytes.Equal(b, m.records[i]) {
		t.Fatalf("record %d: %d bytes, %v", m.first+uint64(i), len(b), err)
	}
}

func (m *model) ranged(t *testing.T, l *wal.Log, rng *rand.Rand) {
	t.Helper()
	from := 0
	if len(m.records) > 0 {
		from = rng.IntN(len(m.records))
	}
	i := from
	for r, err := range l.Range(bg, m.first+uint64(from)) {
		check(t, err)
		if r.Index != m.first+uint64(i) || !bytes.Equal(r.Data, m.records[i]) {
			t.Fatalf("Range: record %d differs", r.Index)
		}
		if i++; rng.IntN(200) == 0 {
			return
		}
	}
	if i != len(m.records) {
		t.Fatalf("Range ended at %d of %d", i, len(m.records))
	}
}
