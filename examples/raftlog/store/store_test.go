package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/wal"
)

var bg = context.Background()

// small has a test reach many segments.
var small = wal.Options{SegmentSize: 64 << 10}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(bg, dir, small)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// entries returns n entries from the index first on.
func entries(first uint64, n int) (all []*raft.Log) {
	for i := range n {
		index := first + uint64(i)
		all = append(all, &raft.Log{Index: index, Term: index / 10, Data: fmt.Appendf(nil, "entry %d", index)})
	}
	return all
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// holds checks that the store has the entries from first to last and no others.
func holds(t *testing.T, s *Store, first, last uint64) {
	t.Helper()
	f, err := s.FirstIndex()
	must(t, err)
	l, err := s.LastIndex()
	must(t, err)
	if f != first || l != last {
		t.Fatalf("entries from %d to %d, want %d to %d", f, l, first, last)
	}
	for i := max(first, 1) - 1; i <= last+1; i++ {
		var e raft.Log
		err := s.GetLog(i, &e)
		if i < first || i > last || i == 0 {
			if !errors.Is(err, raft.ErrLogNotFound) {
				t.Fatalf("entry %d outside: %v", i, err)
			}
			continue
		}
		if err != nil || e.Index != i || string(e.Data) != fmt.Sprint("entry ", i) {
			t.Fatalf("entry %d: %+v, %v", i, e, err)
		}
	}
}

func TestEntriesKeepEveryField(t *testing.T) {
	for _, e := range []raft.Log{
		{Index: 1},
		{Index: 1, Term: 1<<64 - 1, Type: raft.LogConfiguration, Data: []byte("data")},
		{Index: 1, Extensions: []byte("extensions"), Data: bytes.Repeat([]byte("x"), 100_000)},
		{Index: 1, Type: 255, Extensions: []byte("alone"), AppendedAt: time.Unix(0, 0)},
		{Index: 1, AppendedAt: time.Unix(1<<40, 999_999_999)},
		{Index: 1, AppendedAt: time.Unix(-1<<40, 1)},
	} {
		s := open(t, t.TempDir())
		must(t, s.StoreLog(&e))
		got := raft.Log{Index: 7, Data: []byte("of an earlier entry"), Extensions: []byte("x")}
		must(t, s.GetLog(1, &got))
		if !reflect.DeepEqual(got, e) {
			t.Errorf("got %+v, want %+v", got, e)
		}
	}
	if n := reflect.TypeFor[raft.Log]().NumField(); n != 6 {
		t.Errorf("raft.Log has %d fields; encode stores 6", n)
	}
}

func TestRecordsOfOthersAreRefused(t *testing.T) {
	whole := encode(nil, &raft.Log{Term: 1 << 40, Extensions: make([]byte, 300), AppendedAt: time.Unix(1<<30, 5)})
	for n := range len(whole) - 300 {
		if err := decode(whole[:n], 1, new(raft.Log)); err == nil {
			t.Errorf("%d of %d bytes were taken for an entry", n, len(whole))
		}
	}
	whole[0]++
	if err := decode(whole, 1, new(raft.Log)); err == nil {
		t.Error("a later version was taken for this one")
	}
}

func TestRanges(t *testing.T) {
	type bounds struct{ first, last uint64 }
	for _, tt := range []struct {
		name     string
		min, max uint64
		want     bounds
	}{
		{"front", 1, 50, bounds{51, 100}},
		{"front, from the first on", 50, 50, bounds{51, 100}},
		{"front, most", 0, 99, bounds{100, 100}},
		{"back", 100, 100, bounds{50, 99}},
		{"back, most", 51, 1 << 60, bounds{50, 50}},
		{"all", 50, 100, bounds{}},
		{"all, and more", 0, 1<<64 - 1, bounds{}},
		{"before", 1, 49, bounds{50, 100}},
		{"behind", 101, 200, bounds{50, 100}},
		{"reversed", 70, 60, bounds{50, 100}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			must(t, s.StoreLogs(entries(50, 51))) // an empty store may begin anywhere
			must(t, s.DeleteRange(tt.min, tt.max))
			holds(t, s, tt.want.first, tt.want.last)
			must(t, s.Close())
			s = open(t, dir)
			holds(t, s, tt.want.first, tt.want.last)
			if tt.want.last == 0 {
				tt.want = bounds{1000, 999} // go on as behind a snapshot
			}
			must(t, s.StoreLogs(entries(tt.want.last+1, 5)))
			holds(t, s, tt.want.first, tt.want.last+5)
		})
	}
}

func TestWhatIsRefused(t *testing.T) {
	s := open(t, t.TempDir())
	must(t, s.StoreLogs(entries(10, 11)))
	for name, err := range map[string]error{
		"the middle":        s.DeleteRange(12, 15),
		"one in the middle": s.DeleteRange(12, 12),
		"an entry again":    s.StoreLogs(entries(20, 1)),
		"an earlier entry":  s.StoreLogs(entries(9, 1)),
		"a hole in a batch": s.StoreLogs(append(entries(21, 2), entries(24, 1)...)),
		"twice in a batch":  s.StoreLogs(append(entries(21, 2), entries(22, 1)...)),
	} {
		if !errors.Is(err, ErrOrder) {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, s.StoreLogs(nil))
	holds(t, s, 10, 20)
	must(t, s.StoreLogs(entries(22, 1))) // a snapshot has those before
	holds(t, s, 22, 22)
}

func TestSettings(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := s.Get([]byte("vote")); err == nil || err.Error() != "not found" { // raft compares the text
		t.Errorf("no such key: %v", err)
	}
	if n, err := s.GetUint64([]byte("term")); n != 0 || err != nil {
		t.Errorf("no such number: %d, %v", n, err)
	}
	must(t, s.Set([]byte("vote"), []byte("b")))
	must(t, s.Set([]byte("empty"), nil))
	must(t, s.SetUint64([]byte("term"), 1<<63))
	must(t, s.StoreLogs(entries(1, 3)))
	must(t, s.DeleteRange(1, 3)) // which leaves the settings alone
	must(t, s.Close())
	s = open(t, dir)
	for key, want := range map[string]string{"vote": "b", "empty": ""} {
		if b, err := s.Get([]byte(key)); string(b) != want || err != nil {
			t.Errorf("%s is %q, %v", key, b, err)
		}
	}
	if n, err := s.GetUint64([]byte("term")); n != 1<<63 || err != nil {
		t.Errorf("the term is %d, %v", n, err)
	}
	if _, err := s.GetUint64([]byte("vote")); err == nil {
		t.Error("a vote was taken for a number")
	}
}

// What raft does to a log, in random order, beside a slice that does the same.
func TestStoreAgainstModel(t *testing.T) {
	rnd := testutil.Rand(t)
	dir := t.TempDir()
	s := open(t, dir)
	model, first := []*raft.Log(nil), uint64(1)
	for step := range 600 {
		last := first + uint64(len(model)) - 1
		switch k := rnd.IntN(100); {
		case k < 60:
			if len(model) == 0 && rnd.IntN(2) == 0 {
				first += rnd.Uint64N(1000)
				last = first - 1
			}
			batch := entries(last+1, 1+rnd.IntN(20))
			for _, e := range batch {
				e.Term, e.Data = rnd.Uint64(), make([]byte, rnd.IntN(2000))
				e.AppendedAt = time.Unix(rnd.Int64N(1<<40), rnd.Int64N(1e9))
			}
			must(t, s.StoreLogs(batch))
			model = append(model, batch...)
		case k < 75: // as after a snapshot
			n := rnd.IntN(len(model) + 1)
			must(t, s.DeleteRange(first, first+uint64(n)-1))
			model, first = model[n:], first+uint64(n)
		case k < 90: // as where another leader has other entries
			n := rnd.IntN(min(len(model), 30) + 1)
			must(t, s.DeleteRange(last-uint64(n)+1, last))
			model = model[:len(model)-n]
		case k < 92:
			must(t, s.DeleteRange(first, last))
			model, first = nil, last+1
		case k < 94:
			must(t, s.Close())
			s = open(t, dir)
		default:
			for range 10 {
				agree(t, step, s, model, first, rnd)
			}
		}
	}
}

func agree(t *testing.T, step int, s *Store, model []*raft.Log, first uint64, rnd *rand.Rand) {
	t.Helper()
	f, err := s.FirstIndex()
	must(t, err)
	l, err := s.LastIndex()
	must(t, err)
	if len(model) == 0 {
		if f != 0 || l != 0 {
			t.Fatalf("step %d: %d to %d, but there is none", step, f, l)
		}
		return
	}
	if f != first || l != first+uint64(len(model))-1 {
		t.Fatalf("step %d: %d to %d, want %d and %d entries", step, f, l, first, len(model))
	}
	want := model[rnd.IntN(len(model))]
	var got raft.Log
	must(t, s.GetLog(want.Index, &got))
	if !bytes.Equal(got.Data, want.Data) || got.Index != want.Index || got.Term != want.Term || !got.AppendedAt.Equal(want.AppendedAt) {
		t.Fatalf("step %d: entry %d differs", step, want.Index)
	}
}
