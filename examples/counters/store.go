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

// slot is a counter as it lies in the file: one cache line, that counters do not share. A slot without a name is free;
// names never change.
type slot struct {
	value atomic.Uint64
	name  [maxName]byte // padded with zeros
}

// magic is the first slot's name: it tells the file from others.
const magic = "fmmap counters 1"

var (
	errNotCounters = errors.New("not a table of counters")
	errFull        = fmt.Errorf("all %d counters are taken", slots-1)
	errName        = fmt.Errorf("a name has 1 to %d bytes and no zero byte", maxName)
)

// Store is an open table. Its methods may be called by many goroutines.
type Store struct {
	pool  *async.Pool
	file  *async.File
	dirty *async.Background
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

// Add adds n: an atomic add in the map, and a note for the background.
func (c Counter) Add(n uint64) {
	c.slot.value.Add(n)
	c.s.dirty.MarkDirty(8)
}

// Value is what has been added so far.
func (c Counter) Value() uint64 { return c.slot.value.Load() }

// Open opens the table at name, and makes one if create says so. What is added is flushed at most an interval later.
func Open(ctx context.Context, name string, create bool, interval time.Duration) (_ *Store, err error) {
	s := &Store{byName: map[string]*slot{}}
	if s.pool, err = async.NewPool(async.PoolOptions{}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	if s.file, err = async.Open(ctx, s.pool, name, core.Options{Access: core.ReadWrite, Create: create}).Await(ctx); err != nil {
		return nil, err
	}
	const size = slots * 64
	fresh := s.file.Core().Len() == 0
	switch n := s.file.Core().Len(); {
	case fresh:
		_, err = s.file.Truncate(ctx, size).Await(ctx)
	case n != size:
		err = fmt.Errorf("%s: %w", name, errNotCounters)
	}
	if err != nil {
		return nil, err
	}
	if s.pin, err = s.file.Load(ctx, 0, size).Await(ctx); err != nil {
		return nil, err
	}
	if s.table, err = core.Slice[slot](s.pin, 0, slots); err != nil {
		return nil, err
	}
	if err := s.read(name, fresh); err != nil {
		return nil, err
	}
	s.dirty, err = s.file.StartBackground(flush.Policy{Interval: interval})
	return s, err
}

// read takes up the counters that are there.
func (s *Store) read(name string, fresh bool) error {
	return s.pin.Do(func([]byte) error {
		first := &s.table[0]
		if fresh || s.table[0].name == [maxName]byte{} && s.table[1].name == [maxName]byte{} {
			copy(first.name[:], magic)
		}
		if first.text() != magic {
			return fmt.Errorf("%s: %w", name, errNotCounters)
		}
		for s.used = 1; s.used < slots && s.table[s.used].name[0] != 0; s.used++ {
			s.byName[s.table[s.used].text()] = &s.table[s.used]
		}
		return nil
	})
}

func (s *slot) text() string { return string(bytes.TrimRight(s.name[:], "\x00")) }

// Counter returns the counter of that name, and makes it if there is none.
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

// All calls fn for each counter, in the order they were made.
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
	if cerr := s.pool.Close(ctx); err == nil {
		err = cerr
	}
	return err
}
