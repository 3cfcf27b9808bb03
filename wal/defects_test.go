package wal_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/wal"
)

// holdFlushes makes msync wait until release is called, once it has called
// began.
func holdFlushes(t testing.TB) (began chan struct{}, release func()) {
	t.Helper()
	began, let := make(chan struct{}), make(chan struct{})
	var once sync.Once
	restore := sys.Inject(func(op sys.Op) error {
		if op == sys.OpMsync {
			once.Do(func() { close(began) })
			<-let
		}
		return nil
	})
	release = sync.OnceFunc(func() { close(let); restore() })
	t.Cleanup(release)
	return began, release
}

// Records that Write has stored and not flushed yet stay valid, and are flushed,
// when others' records become durable first, or fill the segment.
func TestWriteWhileTheSegmentIsSealed(t *testing.T) {
	testutil.RequireDescriptors(t, 512) // of segments that wait for their flush
	dir := memoryDir(t)
	l := open(t, dir, small)
	const writers, each = 16, 300
	var g errgroup.Group
	for w := range writers {
		g.Go(func() error {
			for i := range each {
				r := bytes.Repeat([]byte{byte(w + 1)}, 3000)
				var err error
				if i%2 == 0 {
					_, err = l.Write(bg, r)
				} else {
					_, err = l.Append(r).Await(bg)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	check(t, g.Wait())
	check(t, l.Close())
	l = open(t, dir, small)
	if l.Last() != writers*each {
		t.Errorf("%d records, want %d", l.Last(), writers*each)
	}
	check(t, l.Verify(bg))
}

// A Write whose context ends while it waits becomes durable all the same, and
// readers learn of it.
func TestWriteThatIsNotWaitedFor(t *testing.T) {
	l := open(t, t.TempDir(), small)
	check(t, l.Append([]byte("zero")).Wait())
	ctx, cancel := context.WithCancel(bg)
	began, release := holdFlushes(t)
	first := l.Append([]byte("one"))
	<-began
	over := make(chan error)
	go func() {
		_, err := l.Write(ctx, []byte("two"))
		over <- err
	}()
	testutil.WaitUntil(t, "the Write has stored", func() bool { return l.Stats().Appends == 3 })
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("Write: %v", err)
	}
	release()
	check(t, first.Wait())
	testutil.WaitUntil(t, "its record is durable", func() bool { return l.Last() == 3 })
	if _, err := l.Write(ctx, []byte("three")); !errors.Is(err, context.Canceled) {
		t.Errorf("Write with a context that is done: %v", err)
	}
	if last, err := l.Append([]byte("three")).Await(bg); last != 4 || err != nil {
		t.Errorf("the next record is %d, %v", last, err)
	}
}

// A ticket that is awaited after its records were cut off does not change what
// is taken to be durable in their segment.
func TestTicketAwaitedAfterACut(t *testing.T) {
	l := open(t, t.TempDir(), small)
	check(t, l.Append([]byte("one")).Wait())
	long := l.Append(make([]byte, 1000))
	check(t, l.TruncateBack(bg, 1))
	if _, err := long.Await(bg); err != nil {
		t.Fatal(err)
	}
	if last, err := l.Append([]byte("two")).Await(bg); last != 2 || err != nil {
		t.Fatalf("an Append after it: %d, %v", last, err)
	}
	if last, err := l.Write(bg, []byte("three")); last != 3 || err != nil {
		t.Fatalf("a Write after it: %d, %v", last, err)
	}
}

// fill appends n records of 100 bytes, in segments of about 500.
func fill(t testing.TB, l *wal.Log, n uint64) {
	t.Helper()
	for i := uint64(1); i < n; i++ {
		l.Append(record(i, 100))
	}
	check(t, l.Append(record(n, 100)).Wait())
}

// A record stays as it is while it is pinned, though its segment's mapping was
// closed for others, and mapped again, before the segment is cut or recycled.
func TestPinsOutliveTheirMapping(t *testing.T) {
	l := open(t, t.TempDir(), wal.Options{SegmentSize: 64 << 10, OpenSegments: 1, Spare: 20})
	fill(t, l, 4000)
	pin := func(i uint64) (p interface {
		Bytes() []byte
		Release()
	}) {
		t.Helper()
		record, err := l.Load(bg, i).Await(bg)
		check(t, err)
		return record
	}
	front, back := pin(5), pin(3300)
	pin(2000).Release() // closes the mappings of the two
	pin(3300).Release() // and maps one again
	ctx, cancel := context.WithCancel(bg)
	cutting := make(chan error)
	go func() { cutting <- l.TruncateBack(ctx, 3299) }()
	testutil.WaitUntil(t, "the cut is hidden", func() bool { return l.Last() == 3299 })
	cancel()
	if err := <-cutting; !errors.Is(err, context.Canceled) {
		t.Fatalf("TruncateBack with a reader of an earlier mapping: %v", err)
	}
	check(t, l.TruncateFront(3000))
	for i := uint64(4001); i < 8000; i++ {
		l.Append(record(i, 100))
	}
	check(t, l.Append(nil).Wait())
	if !bytes.Equal(front.Bytes(), record(5, 100)) || !bytes.Equal(back.Bytes(), record(3300, 100)) {
		t.Error("pinned records changed")
	}
	back.Release()
	check(t, l.TruncateBack(bg, 3299))
	front.Release()
}

// While TruncateBack waits, a Range that had begun before yields nothing of what
// is being cut off.
func TestRangeStopsAtACut(t *testing.T) {
	l := open(t, t.TempDir(), small)
	fill(t, l, 6000)
	held, err := l.Load(bg, 5700).Await(bg)
	check(t, err)
	next, stop := iter.Pull2(l.Range(bg, 1))
	defer stop()
	next()
	cutting := make(chan error)
	go func() { cutting <- l.TruncateBack(bg, 5650) }()
	testutil.WaitUntil(t, "the cut is hidden", func() bool { return l.Last() == 5650 })
	last := uint64(1)
	for {
		r, err, ok := next()
		if errors.Is(err, wal.ErrNotFound) {
			break
		}
		check(t, err)
		if !ok {
			t.Fatal("the Range ended as if nothing were missing")
		}
		last = r.Index
	}
	if last != 5650 {
		t.Errorf("the last record that Range has yielded is %d, want 5650", last)
	}
	held.Release()
	check(t, <-cutting)
}

// Close waits for readers, and what is called meanwhile fails at once: a reader
// may be about to append before it releases its record.
func TestCloseWaitsWithoutBlockingOthers(t *testing.T) {
	l := open(t, t.TempDir(), small)
	check(t, l.Append([]byte("one")).Wait())
	pin, err := l.Load(bg, 1).Await(bg)
	check(t, err)
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	testutil.WaitUntil(t, "Close has begun", func() bool {
		_, err := l.Read(1, nil)
		return errors.Is(err, fs.ErrClosed)
	})
	if err := l.Append([]byte("two")).Wait(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Append: %v", err)
	}
	if err := l.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Close: %v", err)
	}
	select {
	case err := <-closed:
		t.Errorf("Close returned %v with a record pinned", err)
	default:
	}
	pin.Release()
	check(t, <-closed)
}

// No Tail misses that the log is closed.
func TestTailsThatBeginDuringClose(t *testing.T) {
	rounds := 100
	if testing.Short() {
		rounds = 20
	}
	for range rounds {
		l := open(t, memoryDir(t), small)
		var g errgroup.Group
		var waiting atomic.Int32
		for range 20 {
			g.Go(func() error {
				waiting.Add(1)
				for _, err := range l.Tail(bg, 1) {
					if !errors.Is(err, fs.ErrClosed) {
						return err
					}
				}
				return nil
			})
		}
		for waiting.Load() < 5 {
		}
		check(t, l.Close())
		check(t, g.Wait())
	}
}

// A Tail learns that the record it waits for was skipped.
func TestResetWakesTail(t *testing.T) {
	l := open(t, t.TempDir(), small)
	over := make(chan error, 1)
	go func() {
		for _, err := range l.Tail(bg, 1) {
			over <- err
		}
	}()
	check(t, l.Reset(100))
	if err := <-over; !errors.Is(err, wal.ErrNotFound) {
		t.Errorf("Tail: %v", err)
	}
	if l.First() != 100 || l.Last() != 99 {
		t.Errorf("%d to %d", l.First(), l.Last())
	}
}

// A loop whose body panics holds nothing.
func TestRangeWhoseBodyPanics(t *testing.T) {
	l := open(t, t.TempDir(), small)
	fill(t, l, 10)
	func() {
		defer func() { _ = recover() }()
		for range l.Range(bg, 1) {
			panic("in the body")
		}
	}()
	check(t, l.Close()) // waits for what is held
}

func TestTruncateBackToTheLargestIndex(t *testing.T) {
	l := open(t, t.TempDir(), small)
	fill(t, l, 10)
	check(t, l.TruncateBack(bg, math.MaxUint64))
	if l.Last() != 10 {
		t.Errorf("%d records", l.Last())
	}
}

// mix replaces parts of the files in the directory to by those in from.
func mix(t testing.TB, to, from, name string, off, n int64) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(from, name))
	check(t, err)
	f, err := os.OpenFile(filepath.Join(to, name), os.O_RDWR, 0)
	check(t, err)
	_, err = f.WriteAt(b[off:off+n], off)
	check(t, err)
	check(t, f.Close())
}

// A frame that outlived one that was lost before it does not come back, however
// many crashes there are between the last whole frame and the next that is
// stored in its place.
func TestGenerationsOfSeveralCrashes(t *testing.T) {
	for _, tt := range []struct {
		name string
		cut  bool // by TruncateBack, before the frames are stored
	}{{"opened again", false}, {"cut", true}} {
		t.Run(tt.name, func(t *testing.T) {
			dir := memoryDir(t)
			l := open(t, dir, small)
			check(t, l.Append(record(1, 1000), record(2, 1000)).Wait())
			first := image(t, dir)
			check(t, l.Close())
			if tt.cut {
				l := open(t, first, small)
				check(t, l.TruncateBack(bg, 1))
				check(t, l.Append(record(2, 1000)).Wait())
				check(t, l.TruncateBack(bg, 1))
				next := image(t, first)
				check(t, l.Close())
				first = next
			}
			n := uint64(2)
			if tt.cut {
				n = 1
			}

			work := image(t, first)
			l = open(t, work, small)
			check(t, l.Append(record(n+1, 1000), record(n+2, 1000)).Wait())
			pin, err := l.Load(bg, n+1).Await(bg)
			check(t, err)
			lost := pin.Offset()
			pin.Release()
			crashed := image(t, work)
			check(t, l.Close())
			// The frame of n+1 has not reached the disk, that of n+2 has.
			mix(t, crashed, first, filepath.Base(segments(t, first)[0]), lost-16, 1024)

			l = open(t, crashed, small)
			if l.Last() != n {
				t.Fatalf("%d records, want %d", l.Last(), n)
			}
			check(t, l.Append(bytes.Repeat([]byte("x"), len(record(n+1, 1000)))).Wait())
			again := image(t, crashed)
			check(t, l.Close())
			l = open(t, again, small)
			if l.Last() != n+1 {
				t.Errorf("%d records, want %d: one that was lost came back", l.Last(), n+1)
			}
		})
	}
}

// The power may go while Open or Close stores the state.
func TestPowerCutWhileOpeningAndClosing(t *testing.T) {
	dir := memoryDir(t)
	l := open(t, dir, small)
	check(t, l.Set("long", bytes.Repeat([]byte("a"), 3000)))
	check(t, l.Append(record(1, 100)).Wait())
	opened := image(t, dir)
	check(t, l.Close())
	closed := image(t, dir)
	l = open(t, dir, small)
	check(t, l.Append(record(2, 100)).Wait())
	reopened := image(t, dir)
	check(t, l.Close())
	for _, tt := range []struct {
		name         string
		older, newer string
		last         uint64
	}{{"closing", opened, closed, 1}, {"opening", closed, reopened, 2}} {
		for slot := range int64(2) {
			cut := image(t, tt.newer)
			mix(t, cut, tt.older, "meta", slot<<16, 512) // its first sector is not that of the rest
			if b, c := must(t)(os.ReadFile(cut+"/meta")), must(t)(os.ReadFile(tt.newer+"/meta")); bytes.Equal(b, c) {
				continue // the state was stored in the other slot alone
			}
			if tt.name == "opening" { // nothing is appended before the state is durable
				mix(t, cut, tt.older, filepath.Base(segments(t, tt.older)[0]), 0, 64<<10)
				tt.last = 1
			}
			l := open(t, cut, small)
			if l.Last() != tt.last {
				t.Errorf("%s, slot %d: %d records, want %d", tt.name, slot, l.Last(), tt.last)
			}
			check(t, l.Close())
		}
	}
}

func must(t testing.TB) func(b []byte, err error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		check(t, err)
		return b
	}
}

// memoryDir makes a directory in memory where the system has one: for tests
// that open thousands of logs, and are not about the disk.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "wal-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	return dir
}

// A segment that was dropped by a cut does not follow the one before it again,
// though that has the same number of records once more.
func TestDroppedSegmentStaysDropped(t *testing.T) {
	dir := memoryDir(t)
	o := wal.Options{SegmentSize: 64 << 10, Spare: 10}
	l := open(t, dir, o)
	full := uint64(0) // records of a segment
	for l.Stats().Segments < 2 {
		check(t, l.Append(make([]byte, 100)).Wait())
		full = l.Last() - 1
	}
	check(t, l.TruncateBack(bg, 100))
	for l.Last() < full {
		check(t, l.Append(make([]byte, 100)).Wait())
	}
	// The segment is sealed, and then the next one cannot be begun.
	failed := errors.New("injected")
	restore := sys.Inject(func(op sys.Op) error {
		if op == sys.OpMmap {
			return failed
		}
		return nil
	})
	if err := l.Append(make([]byte, 100)).Wait(); !errors.Is(err, failed) {
		t.Errorf("Append: %v", err)
	}
	restore()
	crashed := image(t, dir)
	check(t, l.Close())
	l = open(t, crashed, o)
	if l.Last() != full {
		t.Errorf("%d records, want %d", l.Last(), full)
	}
	if last, err := l.Append([]byte("next")).Await(bg); last != full+1 || err != nil {
		t.Errorf("the next record is %d, %v", last, err)
	}
}

// Whichever system call fails, the acknowledged records are found when the log is
// opened again, and a log whose flush has failed returns that error.
func TestTheKthCallFailsOfALog(t *testing.T) {
	for _, op := range []sys.Op{sys.OpMsync, sys.OpMmap, sys.OpFsyncDir, sys.OpMadvise} {
		t.Run(string(op), func(t *testing.T) {
			for k, more := int64(1), true; more; k++ {
				more = failKth(t, op, k)
			}
		})
	}
}

// failKth appends, truncates and sets with the k-th call of op failing. It
// reports whether there were as many calls.
func failKth(t *testing.T, op sys.Op, k int64) bool {
	dir := memoryDir(t)
	l := open(t, dir, small)
	failed := errors.New("injected")
	var calls atomic.Int64
	restore := sys.Inject(func(o sys.Op) error {
		if o == op && calls.Add(1) == k {
			return failed
		}
		return nil
	})
	defer restore()
	acked, first, value := uint64(0), uint64(1), 0
	failures := 0 // more than one are of a log that has failed for good
	note := func(err error) bool {
		if err != nil && !errors.Is(err, failed) {
			t.Fatalf("%s %d: %v", op, k, err)
		}
		switch {
		case err != nil:
			failures++
		case failures > 1:
			t.Fatalf("%s %d: the log goes on after it has failed for good", op, k)
		}
		return err == nil
	}
	for i := range 12 {
		r := bytes.Repeat([]byte{byte(i + 1)}, 20_000)
		var last uint64
		var err error
		if i%2 == 0 {
			last, err = l.Append(r).Await(bg)
		} else {
			last, err = l.Write(bg, r)
		}
		if note(err) {
			acked = last
		}
		switch {
		case i == 5 && note(l.TruncateFront(2)):
			first = 2
		case i == 7 && acked > 0:
			note(l.TruncateBack(bg, acked-1))
			acked-- // a failed flush leaves either
		case i == 8 && note(l.Set("i", []byte{8})):
			value = 8
		}
	}
	err := l.Close()
	if failures > 1 && !errors.Is(err, failed) {
		t.Errorf("%s %d: Close: %v", op, k, err)
	}
	restore()
	l = open(t, dir, small)
	if l.Last() < acked || l.First() < first {
		t.Errorf("%s %d: %d to %d, want %d to %d", op, k, l.First(), l.Last(), first, acked)
	}
	if v, _ := l.Get("i"); value == 8 && !bytes.Equal(v, []byte{8}) {
		t.Errorf("%s %d: the value is %v", op, k, v)
	}
	check(t, l.Verify(bg))
	check(t, l.Close())
	return calls.Load() >= k
}

// A meta file of another program is neither overwritten nor made longer.
func TestForeignMetaStaysAsItIs(t *testing.T) {
	for _, text := range []string{"x", "this is something else entirely", strings.Repeat("other ", 50_000)} {
		dir := t.TempDir()
		name := filepath.Join(dir, "meta")
		check(t, os.WriteFile(name, []byte(text), 0o600))
		if _, err := wal.Open(bg, dir, small); !errors.Is(err, wal.ErrNotALog) || !strings.Contains(err.Error(), name) {
			t.Errorf("a foreign file of %d bytes: %v", len(text), err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != text {
			t.Errorf("a foreign file of %d bytes has %d now, %v", len(text), len(got), err)
		}
	}
}

// Writes that share a flush count as one commit.
func TestCommitsAreFlushes(t *testing.T) {
	l := open(t, memoryDir(t), small)
	_, err := l.Write(bg, []byte("first")) // the segment is begun
	check(t, err)
	before := l.Stats()
	began, let := make(chan struct{}), make(chan struct{})
	var flushes atomic.Uint64
	t.Cleanup(sys.Inject(func(op sys.Op) error {
		if op == sys.OpMsync && flushes.Add(1) == 1 {
			close(began)
			<-let
		}
		return nil
	}))
	writes := new(errgroup.Group)
	write := func() error { _, err := l.Write(bg, []byte("x")); return err }
	writes.Go(write)
	<-began
	const more = 8
	for range more {
		writes.Go(write)
	}
	for l.Stats().Appends < before.Appends+1+more { // stored
		runtime.Gosched()
	}
	close(let)
	check(t, writes.Wait())
	after := l.Stats()
	if n := after.Commits - before.Commits; n != flushes.Load() || n < 2 {
		t.Errorf("%d commits by %d flushes", n, flushes.Load())
	}
	if timed := after.Wait.Count(); timed != 2+more {
		t.Errorf("%d waits of %d calls, want one each", timed, 2+more)
	}
	if timed := after.Run.Count(); timed != after.Commits {
		t.Errorf("%d flushes timed, of %d", timed, after.Commits)
	}
}
