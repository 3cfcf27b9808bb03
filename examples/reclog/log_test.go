package reclog_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/examples/reclog"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// pool is where the tests' work runs: unlike the process's own it can be
// closed.
var pool, _ = async.NewPool(async.PoolOptions{})

func TestMain(m *testing.M) {
	code := m.Run()
	_ = pool.Close()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func open(t testing.TB, name string, o reclog.Options) *reclog.Log {
	t.Helper()
	o.Pool = pool
	l, err := reclog.Open(t.Context(), name, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func record(i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "record %d ", i), i%5+1) }

// holds checks that the log has exactly the records 1 to n.
func holds(t testing.TB, l *reclog.Log, n int) {
	t.Helper()
	seen := 0
	for r, err := range l.All(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		seen++
		if int(r.Seq) != seen || !bytes.Equal(r.Bytes(), record(seen)) {
			t.Fatalf("record %d is %d, %q", seen, r.Seq, r.Bytes())
		}
	}
	if seen != n || l.Last() != uint64(n) {
		t.Fatalf("%d records, last %d, want %d", seen, l.Last(), n)
	}
}

func TestAppendAndReopen(t *testing.T) {
	for _, alone := range []bool{false, true} {
		name := filepath.Join(t.TempDir(), "log")
		l := open(t, name, reclog.Options{Alone: alone, Grow: 4096})
		for i := 1; i <= 500; i++ {
			e, err := l.Append(t.Context(), record(i))
			if err != nil || e.Seq != uint64(i) {
				t.Fatalf("record %d: %+v, %v", i, e, err)
			}
		}
		holds(t, l, 500)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, name, reclog.Options{})
		holds(t, l, 500)
		if l.Cut() != 0 {
			t.Errorf("%d bytes were cut off", l.Cut())
		}
		if _, err := l.Append(t.Context(), record(501)); err != nil {
			t.Fatal(err)
		}
		holds(t, l, 501)
	}
}

func TestManyAppendersWhileReadersHoldPins(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "log"), reclog.Options{Grow: 64 << 10})
	var wg sync.WaitGroup
	var mu sync.Mutex
	at := map[uint64][]byte{}
	for g := range 16 {
		wg.Go(func() {
			var held []*reclog.Record
			for i := range 50 {
				rec := fmt.Appendf(nil, "%d/%d", g, i)
				e, err := l.Append(t.Context(), rec)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				at[e.Seq] = rec
				mu.Unlock()
				r, err := l.Read(t.Context(), e.Seq) // durable, so there
				if err != nil {
					t.Error(err)
					return
				}
				held = append(held, r)
			}
			for _, r := range held {
				mu.Lock()
				if !bytes.Equal(r.Bytes(), at[r.Seq]) {
					t.Errorf("record %d is %q", r.Seq, r.Bytes())
				}
				mu.Unlock()
				r.Release()
			}
		})
	}
	wg.Wait()
	if l.Last() != 800 {
		t.Errorf("%d records", l.Last())
	}
}

// A crash may leave any prefix of the last record, and anything in its place.
// Recovery keeps what is whole.
func TestTornTails(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "log")
	l := open(t, name, reclog.Options{})
	for i := 1; i <= 3; i++ {
		if _, err := l.Append(t.Context(), record(i)); err != nil {
			t.Fatal(err)
		}
	}
	e, err := l.Append(t.Context(), record(4))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	start := int(e.Offset) - 16
	for cut := start; cut < len(whole); cut++ {
		for _, fill := range []byte{0, 0xff} {
			torn := append(bytes.Clone(whole[:cut]), bytes.Repeat([]byte{fill}, len(whole)-cut+1000)...)
			if err := os.WriteFile(name, torn, 0o600); err != nil {
				t.Fatal(err)
			}
			l := open(t, name, reclog.Options{Grow: 4096})
			want := 3
			if bytes.Equal(torn[:len(whole)], whole) || bytes.Equal(torn[:int(e.Offset)+len(record(4))], whole[:int(e.Offset)+len(record(4))]) {
				want = 4 // only padding was cut
			}
			holds(t, l, want)
			if _, err := l.Append(t.Context(), record(want+1)); err != nil {
				t.Fatal(err)
			}
			holds(t, l, want+1)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	l := open(t, filepath.Join(dir, "log"), reclog.Options{MaxRecord: 10})
	if _, err := l.Append(t.Context(), nil); !errors.Is(err, reclog.ErrEmpty) {
		t.Errorf("empty: %v", err)
	}
	if _, err := l.Append(t.Context(), make([]byte, 11)); !errors.Is(err, reclog.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	for _, seq := range []uint64{0, 1, 1 << 63} {
		if _, err := l.Read(t.Context(), seq); !errors.Is(err, reclog.ErrNotFound) {
			t.Errorf("record %d: %v", seq, err)
		}
	}
	other := filepath.Join(dir, "other")
	zeros := strings.Repeat("\x00", 2<<20) // the length of a log that has grown, but no header
	for _, b := range []string{"short", "something else altogether, and longer than a header", zeros, zeros[:17], zeros[:15], zeros[:1]} {
		if err := os.WriteFile(other, []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := reclog.Open(t.Context(), other, reclog.Options{Pool: pool}); !errors.Is(err, reclog.ErrNotALog) {
			t.Errorf("%d bytes %.20q: %v", len(b), b, err)
		}
		if got, _ := os.ReadFile(other); string(got) != b {
			t.Errorf("%d bytes %.20q have become %d bytes %.20q", len(b), b, len(got), got)
		}
	}
	if _, err := reclog.Open(t.Context(), dir, reclog.Options{Pool: pool}); err == nil {
		t.Error("opened a directory")
	}
	if _, err := reclog.Open(t.Context(), other, reclog.Options{MaxRecord: -1}); !errors.Is(err, core.ErrRange) {
		t.Errorf("negative limit: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), []byte("x")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// Once a flush has failed nothing is acknowledged any more, and nothing that
// was not becomes readable.
func TestNothingIsAcknowledgedAfterAFailedFlush(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "log"), reclog.Options{})
	if _, err := l.Append(t.Context(), record(1)); err != nil {
		t.Fatal(err)
	}
	failed := false
	restore := sys.Inject(func(op sys.Op) error {
		if op == sys.OpMsync && !failed {
			failed = true
			return syscall.EIO
		}
		return nil
	})
	_, err := l.Append(t.Context(), record(2))
	restore()
	if !errors.Is(err, core.ErrFlushFailed) {
		t.Errorf("the append whose flush failed: %v", err)
	}
	if _, err := l.Append(t.Context(), record(3)); !errors.Is(err, core.ErrFlushFailed) {
		t.Errorf("the append after it: %v", err)
	}
	if _, err := l.Read(t.Context(), 2); !errors.Is(err, reclog.ErrNotFound) {
		t.Errorf("reading what is not durable: %v", err)
	}
	holds(t, l, 1)
}

// A crash while a log is created leaves a file that is opened as an empty log.
func TestInterruptedCreation(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	for _, size := range []int{0, 16} {
		if err := os.WriteFile(name, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, name, reclog.Options{Grow: 4096})
		holds(t, l, 0)
		if _, err := l.Append(t.Context(), record(1)); err != nil {
			t.Errorf("a file of %d zeros: %v", size, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// On a disk that has no room for a whole step the log grows by less, down to
// what a record needs. A record that has no room is refused, and the log goes
// on: it takes what still fits, and grows by whole steps when there is room
// again.
func TestGrowsByLessOnAFullDisk(t *testing.T) {
	const step = 1 << 20
	l := open(t, filepath.Join(t.TempDir(), "log"), reclog.Options{Grow: step})
	length := l.File().Core().Len
	var refuse atomic.Int64 // so many allocations
	defer sys.Inject(func(op sys.Op) error {
		if op == sys.OpFallocate && refuse.Add(-1) >= 0 {
			return sys.ErrNoSpace
		}
		return nil
	})()
	rec, n := make([]byte, 10_000), 0
	for _, c := range []struct {
		refusals int64
		by       int64 // how much the file grows
	}{{0, step}, {1, step / 2}, {3, step / 8}, {2, step / 16}, {0, step / 8}, {0, step / 4}} {
		size := length()
		refuse.Store(c.refusals)
		for length() == size {
			n++
			if _, err := l.Append(t.Context(), rec); err != nil {
				t.Fatal(err)
			}
		}
		if got := length() - size; got != c.by {
			t.Errorf("after %d refusals of %d bytes the file grew by %d, want %d", c.refusals, size, got, c.by)
		}
	}

	refuse.Store(1 << 60)
	for {
		_, err := l.Append(t.Context(), rec)
		if err != nil {
			if !errors.Is(err, reclog.ErrNoRoom) || !errors.Is(err, sys.ErrNoSpace) {
				t.Errorf("on a full disk: %v", err)
			}
			break
		}
		n++
	}
	refuse.Store(0)
	if _, err := l.Append(t.Context(), rec); err != nil {
		t.Errorf("once there is room again: %v", err)
	}
	if l.Last() != uint64(n+1) {
		t.Errorf("%d records, want %d", l.Last(), n+1)
	}
}
