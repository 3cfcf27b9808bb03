package wal_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/wal"
)

// Appenders get dense indexes, each its own, and a reader at the tail sees every
// record in order while they work and the front is truncated behind it.
func TestTailFollowsManyAppenders(t *testing.T) {
	l := open(t, t.TempDir(), small)
	const appenders, each = 16, 100
	var mu sync.Mutex
	stored := map[uint64][]byte{}
	var g errgroup.Group
	for a := range uint64(appenders) {
		g.Go(func() error {
			for i := range uint64(each) {
				r := record(a*each+i, 50)
				var last uint64
				var err error
				if i%3 == 0 {
					last, err = l.Write(bg, r)
				} else {
					last, err = l.Append(r).Await(bg)
				}
				if err != nil {
					return err
				}
				if l.Last() < last {
					t.Errorf("record %d was acknowledged, the last is %d", last, l.Last())
				}
				mu.Lock()
				stored[last] = r
				mu.Unlock()
			}
			return nil
		})
	}
	seen := map[uint64][]byte{}
	g.Go(func() error {
		next := uint64(1)
		for r, err := range l.Tail(bg, 1) {
			if err != nil {
				return err
			}
			if r.Index != next {
				t.Errorf("record %d after %d", r.Index, next-1)
			}
			seen[r.Index] = bytes.Clone(r.Data)
			next = r.Index + 1
			if next%500 == 0 {
				if err := l.TruncateFront(next - 100); err != nil {
					return err
				}
			}
			if next > appenders*each {
				return nil
			}
		}
		return errors.New("the tail ended")
	})
	check(t, g.Wait())
	if len(stored) != appenders*each {
		t.Fatalf("%d indexes for %d records", len(stored), appenders*each)
	}
	for i, r := range stored {
		if !bytes.Equal(seen[i], r) {
			t.Fatalf("record %d is %q at the tail, want %q", i, seen[i], r)
		}
	}
	if s := l.Stats(); s.Records != appenders*each || s.Commits == 0 || s.Commits > s.Records {
		t.Errorf("%+v", s)
	}
}

func TestTailEnds(t *testing.T) {
	l := open(t, t.TempDir(), small)
	check(t, l.Append([]byte("one")).Wait())
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(bg)
	defer cancel(nil)
	n := 0
	for r, err := range l.Tail(ctx, 1) {
		if err != nil {
			if !errors.Is(err, cause) {
				t.Errorf("a tail whose context is done: %v", err)
			}
			continue
		}
		n++
		if string(r.Data) != "one" {
			t.Errorf("record %q", r.Data)
		}
		cancel(cause)
	}
	if n != 1 {
		t.Errorf("%d records", n)
	}
	started, over := make(chan struct{}), make(chan error, 1)
	go func() {
		for _, err := range l.Tail(bg, 1) {
			if err != nil {
				over <- err
				return
			}
			close(started)
		}
	}()
	<-started
	check(t, l.Close())
	if err := <-over; !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a tail of a closed log: %v", err)
	}
}

// A record stays as it is while it is pinned, whatever is truncated, recycled
// and appended meanwhile.
func TestPinsOutliveTruncation(t *testing.T) {
	l := open(t, t.TempDir(), small)
	for i := uint64(1); i <= 2000; i++ {
		l.Append(record(i, 100))
	}
	check(t, l.Append(record(2001, 100)).Wait())
	old, err := l.Load(bg, 5).Await(bg)
	check(t, err)
	kept, err := l.Load(bg, 1900).Await(bg)
	check(t, err)
	check(t, l.TruncateFront(1500))
	ctx, cancel := context.WithCancel(bg)
	cancel()
	if err := l.TruncateBack(ctx, 1899); !errors.Is(err, context.Canceled) {
		t.Fatalf("TruncateBack with a reader in the way: %v", err)
	}
	if l.Last() != 2001 {
		t.Fatalf("%d after a TruncateBack that gave up", l.Last())
	}
	check(t, l.Append(record(2002, 100)).Wait())
	cutting := make(chan error)
	go func() { cutting <- l.TruncateBack(bg, 1899) }()
	testutil.WaitUntil(t, "the cut is hidden", func() bool { return l.Last() == 1899 })
	if err := l.Load(bg, 1900).Wait(); !errors.Is(err, wal.ErrNotFound) {
		t.Errorf("Load of what is being cut off: %v", err)
	}
	if b, err := l.Read(1899, nil); err != nil || !bytes.Equal(b, record(1899, 100)) {
		t.Errorf("Read of the last one: %q, %v", b, err)
	}
	if !bytes.Equal(kept.Bytes(), record(1900, 100)) || !bytes.Equal(old.Bytes(), record(5, 100)) {
		t.Error("pinned records changed")
	}
	kept.Release()
	check(t, <-cutting)
	for i := uint64(1900); i <= 4000; i++ {
		l.Append(record(i+7, 100))
	}
	check(t, l.Append([]byte("end")).Wait())
	if !bytes.Equal(old.Bytes(), record(5, 100)) {
		t.Error("a pinned record of a segment that was truncated away changed")
	}
	old.Release()
	if b, err := l.Read(1900, nil); err != nil || !bytes.Equal(b, record(1907, 100)) {
		t.Errorf("record 1900 after it was cut off and appended anew: %q, %v", b, err)
	}
	check(t, l.Verify(bg))
}

// Tickets for records that were cut off do not bring back their indexes.
func TestTicketOfACutRecord(t *testing.T) {
	l := open(t, t.TempDir(), small)
	ticket := l.Append([]byte("one"), []byte("two"))
	check(t, l.TruncateBack(bg, 1))
	if last, err := ticket.Await(bg); last != 2 || err != nil {
		t.Errorf("ticket: %d, %v", last, err)
	}
	if l.Last() != 1 {
		t.Errorf("%d records after the cut", l.Last())
	}
}

// Everything at once; the race detector and the checks of records watch.
func TestStorm(t *testing.T) {
	// In memory, where a flush costs nothing, there is the most to collide.
	l := open(t, memoryDir(t), small)
	ctx, stop := context.WithCancel(bg)
	var appended atomic.Int64
	var g errgroup.Group
	tolerated := func(err error) error {
		if errors.Is(err, wal.ErrNotFound) || errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	}
	for a := range 4 {
		g.Go(func() error {
			for i := 0; ctx.Err() == nil; i++ {
				r := bytes.Repeat([]byte{byte(a)}, i%300+1)
				var err error
				if i%2 == 0 {
					_, err = l.Write(bg, r)
				} else {
					_, err = l.Append(r).Await(bg)
				}
				if err != nil {
					return err
				}
				appended.Add(1)
			}
			return nil
		})
		g.Go(func() error {
			rng := testutil.Rand(t)
			for ctx.Err() == nil {
				first, last := l.First(), l.Last()
				if last < first {
					continue
				}
				pin, err := l.Load(ctx, first+rng.Uint64N(last-first+1)).Await(bg)
				if err != nil {
					if err := tolerated(err); err != nil {
						return err
					}
					continue
				}
				b := pin.Bytes()
				if len(b) == 0 || bytes.Count(b, b[:1]) != len(b) {
					t.Errorf("a record of %d bytes is mixed", len(b))
				}
				pin.Release()
			}
			return nil
		})
	}
	g.Go(func() error {
		defer stop()
		rng := testutil.Rand(t)
		rounds := 60
		if testing.Short() {
			rounds = 15
		}
		for range rounds {
			at := appended.Load()
			testutil.WaitUntil(t, "more records", func() bool { return appended.Load() > at+50 || ctx.Err() != nil })
			first, last := l.First(), l.Last()
			var err error
			switch rng.IntN(4) {
			case 0:
				err = l.TruncateFront(first + (last+1-first)/2)
			case 1:
				err = l.TruncateBack(bg, last-min(last+1-first, 20))
			case 2:
				err = l.Set("round", []byte{1})
			default:
				for r, rerr := range l.Range(ctx, first) {
					if rerr != nil {
						err = rerr
						break
					}
					if len(r.Data) == 0 || bytes.Count(r.Data, r.Data[:1]) != len(r.Data) {
						t.Errorf("Range: record %d is mixed", r.Index)
					}
				}
			}
			if err := tolerated(err); err != nil {
				return err
			}
		}
		return nil
	})
	check(t, g.Wait())
	check(t, l.Verify(bg))
}

// On a full disk an Append fails and stores nothing, the log stays readable, and
// goes on when there is room again.
func TestFullDisk(t *testing.T) {
	dir := testutil.LoopDisk(t, 16<<20, "ext4")
	l := open(t, dir+"/log", wal.Options{SegmentSize: 1 << 20})
	n := uint64(0)
	for {
		if n > 20_000 {
			t.Fatal("the disk is never full")
		}
		var batch [][]byte
		for i := n + 1; i <= n+50; i++ {
			batch = append(batch, record(i, 1000))
		}
		if err := l.Append(batch...).Wait(); err != nil {
			t.Logf("after %d records: %v", n, err)
			break
		}
		n += 50
	}
	if l.Last() != n {
		t.Fatalf("%d records, want %d", l.Last(), n)
	}
	if b, err := l.Read(n, nil); err != nil || !bytes.Equal(b, record(n, 1000)) {
		t.Fatalf("the last record: %v", err)
	}
	check(t, l.Set("still", []byte("possible")))
	check(t, l.TruncateFront(n/2))
	// The files come back when their mappings have been closed.
	testutil.WaitUntil(t, "an append, with room again", func() bool { return l.Append(record(n+1, 1000)).Wait() == nil })
	check(t, l.Close())
	l = open(t, dir+"/log", wal.Options{SegmentSize: 1 << 20})
	if l.First() != n/2 || l.Last() != n+1 {
		t.Errorf("opened again: %d to %d, want %d to %d", l.First(), l.Last(), n/2, n+1)
	}
	check(t, l.Verify(bg))
	check(t, l.Close())
}
