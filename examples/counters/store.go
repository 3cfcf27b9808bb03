package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
)

const (
	slots   = 4096
	maxName = 56
)

// slot is a counter as it lies in the file: one cache line, which no other
// counter shares. A slot without a name is free; names never change.
type slot struct {
	value atomic.Uint64
	name  [maxName]byte // padded with zeros
}

const (
	slotSize  = 8 + maxName
	tableSize = slots * slotSize
)

// magic is the name of the first slot. It marks the file as a table.
const magic = "fmmap counters 1"

var (
	errNotCounters = errors.New("not a table of counters")
	errFull        = fmt.Errorf("all %d counters are taken", slots-1)
	errName        = fmt.Errorf("a name has 1 to %d bytes and no zero byte", maxName)
	errOverflow    = errors.New("counter would exceed 18446744073709551615")
)

// Store is an open table. Its methods may be called by many goroutines.
type Store struct {
	pool  *async.Pool
	file  *async.File
	dirty *async.Background // nil when read-only
	pin   *core.Pin
	table []slot // in the map, pinned for as long as the store is open

	mu     sync.Mutex // guards what follows, and the taking of slots
	byName map[string]*slot
	used   int
}

// Counter is one counter of a Store.
type Counter struct {
	s    *Store
	slot *slot
}

// Add adds n: one compare-and-swap in the map, and a note for the background.
// It returns an error and changes nothing if the counter would wrap.
func (c Counter) Add(n uint64) error {
	for {
		old := c.slot.value.Load()
		if old+n < old {
			return fmt.Errorf("%s: %w", c.slot.text(), errOverflow)
		}
		if c.slot.value.CompareAndSwap(old, old+n) {
			c.s.dirty.MarkDirty(8)
			return nil
		}
	}
}

// Value returns the counter.
func (c Counter) Value() uint64 { return c.slot.value.Load() }

// Open opens the table at name for writing, and creates it when absent. What
// is added is flushed after the interval at most. While another process has the
// table open, Open waits, until ctx is done.
func Open(ctx context.Context, name string, interval time.Duration) (_ *Store, err error) {
	s, err := open(ctx, name, core.Options{Access: core.ReadWrite, Create: true})
	if err != nil {
		return nil, err
	}
	if s.dirty, err = s.file.StartBackground(flush.Policy{Interval: interval}); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// OpenReadOnly opens the table at name for reading. It needs no permission to
// write, and other readers may have the table open at the same time.
func OpenReadOnly(ctx context.Context, name string) (*Store, error) {
	return open(ctx, name, core.Options{})
}

func open(ctx context.Context, name string, o core.Options) (_ *Store, err error) {
	o.Wait = true
	s := &Store{byName: map[string]*slot{}}
	if s.pool, err = async.NewPool(async.PoolOptions{}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	if s.file, err = async.Open(ctx, s.pool, name, o).Await(ctx); err != nil {
		return nil, err
	}
	if o.Access == core.ReadWrite {
		if err := s.create(ctx); err != nil {
			return nil, err
		}
	}
	if s.file.Core().Len() != tableSize {
		return nil, fmt.Errorf("%s: %w", name, errNotCounters)
	}
	if s.pin, err = s.file.Load(ctx, 0, tableSize).Await(ctx); err != nil {
		return nil, err
	}
	if s.table, err = core.Slice[slot](s.pin, 0, slots); err != nil {
		return nil, err
	}
	if err := s.pin.Do(s.read); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// create makes a table of a new file, in an order that leaves no doubt after a
// crash: the first slot is durable before the file has its full length. A file
// of one slot, zeros or not, is therefore one whose creation was interrupted.
// Any other length but zero is left as it is.
func (s *Store) create(ctx context.Context) error {
	f := s.file.Core()
	if n := f.Len(); n != 0 && n != slotSize {
		return nil
	}
	first := slot{}
	copy(first.name[:], magic)
	err := f.View(func(b []byte) error {
		if name := bytes.TrimRight(b, "\x00"); len(name) > 0 && !bytes.Equal(b[8:], first.name[:]) {
			return fmt.Errorf("%s: %w", f.Name(), errNotCounters)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := s.file.Truncate(ctx, slotSize).Await(ctx); err != nil {
		return err
	}
	if _, err := f.WriteAt(first.name[:], 8); err != nil {
		return err
	}
	if _, err := s.file.Flush().Await(ctx); err != nil {
		return err
	}
	_, err = s.file.Truncate(ctx, tableSize).Await(ctx)
	return err
}

// read finds the counters that the table holds.
func (s *Store) read([]byte) error {
	if s.table[0].text() != magic {
		return errNotCounters
	}
	for s.used = 1; s.used < slots && s.table[s.used].name[0] != 0; s.used++ {
		s.byName[s.table[s.used].text()] = &s.table[s.used]
	}
	return nil
}

func (s *slot) text() string { return string(bytes.TrimRight(s.name[:], "\x00")) }

// Counter returns the counter with the given name, and creates it if there is
// none.
func (s *Store) Counter(name string) (c Counter, err error) {
	if name == "" || len(name) > maxName || strings.ContainsRune(name, 0) {
		return c, errName
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.byName[name]; ok {
		return Counter{s, at}, nil
	}
	if s.used == slots {
		return c, errFull
	}
	at := &s.table[s.used]
	err = s.pin.Do(func([]byte) error { copy(at.name[:], name); return nil })
	if err != nil {
		return c, err
	}
	s.used++
	s.byName[name] = at
	s.dirty.MarkDirty(int64(len(name)))
	return Counter{s, at}, nil
}

// All calls fn for each counter, in the order of their creation.
func (s *Store) All(fn func(name string, v uint64)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 1; i < s.used; i++ {
		fn(s.table[i].text(), s.table[i].value.Load())
	}
}

// Barrier returns when everything added before the call is durable.
func (s *Store) Barrier(ctx context.Context) error {
	_, err := s.dirty.Barrier().Await(ctx)
	return err
}

// Close flushes what was added and closes the table.
func (s *Store) Close() (err error) {
	ctx := context.Background()
	if s.dirty != nil {
		err = s.dirty.Close()
	}
	if s.pin != nil {
		s.pin.Release()
	}
	if s.file != nil {
		if cerr := s.file.Close(); err == nil {
			err = cerr
		}
	}
	if cerr := s.pool.CloseContext(ctx); err == nil {
		err = cerr
	}
	return err
}
