// Package store keeps the log and the state of a node of hashicorp/raft on the
// package wal.
//
//	s, err := store.Open(ctx, dir, wal.Options{})
//	...
//	r, err := raft.NewRaft(config, machine, s, s, snapshots, transport)
//
// A raft entry is a record of the log with the same index, so that reading an
// entry is one look-up, and storing a batch is one flush. What raft keeps beside
// its entries, the term and the vote, is in the log's small map.
package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/fmmap-go/fmmap/wal"
	"github.com/hashicorp/raft"
)

// ErrNoKey is returned by [Store.Get] for a key that was never set. Raft
// compares the text.
var ErrNoKey = errors.New("not found")

// ErrOrder is returned for entries that are in the log already or are not dense,
// and for the removal of a range at neither end.
var ErrOrder = errors.New("raft log: entries out of order")

// Store is a [raft.LogStore] and a [raft.StableStore]; of [raft.MonotonicLogStore],
// see [Store.IsMonotonic]. It is safe for concurrent use. An error of the
// device is final: every later change returns it, until the store is opened
// again. A full disk is not: the next change may succeed.
type Store struct {
	log *wal.Log

	mu      sync.Mutex // held by what changes the log
	buf     []byte     // the records of one StoreLogs, encoded
	records [][]byte   // slices of buf
}

var (
	_ raft.LogStore          = (*Store)(nil)
	_ raft.StableStore       = (*Store)(nil)
	_ raft.MonotonicLogStore = (*Store)(nil)
)

// Open opens the store in the directory dir, and creates it if it is absent. Its
// errors are those of [wal.Open].
func Open(ctx context.Context, dir string, o wal.Options) (*Store, error) {
	l, err := wal.Open(ctx, dir, o)
	if err != nil {
		return nil, err
	}
	return &Store{log: l}, nil
}

// Log returns the log below, for its statistics and its Verify.
func (s *Store) Log() *wal.Log { return s.log }

// Close closes the store.
func (s *Store) Close() error { return s.log.Close() }

// IsMonotonic returns false: after it has installed a snapshot, raft stores entries
// behind a hole, and StoreLogs removes those before it.
//
// If it were true, raft would remove all entries itself when it installs a
// snapshot. It does not check that they come before the snapshot. A leader may
// send a snapshot that the node has already, and entries behind it that were
// acknowledged would be lost.
func (s *Store) IsMonotonic() bool { return false }

// FirstIndex returns the index of the first entry, 0 if there is none.
func (s *Store) FirstIndex() (uint64, error) {
	first, _ := s.bounds()
	return first, nil
}

// LastIndex returns the index of the last entry, 0 if there is none.
func (s *Store) LastIndex() (uint64, error) {
	last := s.log.Last()
	if s.log.First() > last { // whatever happens between: there was a moment without entries
		return 0, nil
	}
	return last, nil
}

// bounds returns the indexes of the first and the last entry, 0 and 0 if there
// is none. It does not wait for a change that is being made durable.
func (s *Store) bounds() (first, last uint64) {
	for {
		first, last = s.log.First(), s.log.Last()
		switch {
		case first != s.log.First(): // a Reset between changes both
		case first > last:
			return 0, 0
		default:
			return first, last
		}
	}
}

// GetLog reads the entry with the given index. An entry that is not there is
// [raft.ErrLogNotFound], a damaged one [wal.ErrCorrupt].
func (s *Store) GetLog(index uint64, entry *raft.Log) error {
	if index == 0 {
		return raft.ErrLogNotFound
	}
	b, err := s.log.Read(index, nil)
	if errors.Is(err, wal.ErrNotFound) {
		return raft.ErrLogNotFound
	}
	if err != nil {
		return err
	}
	return decode(b, index, entry)
}

// StoreLog is StoreLogs of one entry.
func (s *Store) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

// StoreLogs appends the entries and returns when they are durable. If the first
// one comes later than the next one of the log, it is behind a snapshot, which
// has all entries before: these are removed.
func (s *Store) StoreLogs(entries []*raft.Log) error {
	if len(entries) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first := entries[0].Index
	for i, e := range entries {
		if e.Index != first+uint64(i) {
			return fmt.Errorf("%w: %d follows %d in a batch", ErrOrder, e.Index, entries[i-1].Index)
		}
	}
	_, last := s.bounds()
	if first <= last {
		return fmt.Errorf("%w: %d is to follow %d", ErrOrder, first, last)
	}
	if first != s.log.Last()+1 {
		if err := s.log.Reset(first); err != nil {
			return err
		}
	}
	s.encode(entries)
	_, err := s.log.Write(context.Background(), s.records...)
	return err
}

// encode fills s.records. A buffer that one large batch has left is not kept.
func (s *Store) encode(entries []*raft.Log) {
	size := 0
	for _, e := range entries {
		size += maxHeader + len(e.Extensions) + len(e.Data)
	}
	if cap(s.buf) < size || cap(s.buf) > 1<<20 && size < cap(s.buf)/4 {
		s.buf = make([]byte, 0, size)
	}
	b := s.buf[:0]
	clear(s.records)
	s.records = s.records[:0]
	for _, e := range entries {
		from := len(b)
		b = encode(b, e)
		s.records = append(s.records, b[from:])
	}
}

// DeleteRange removes the entries from min to max, both included, and returns
// when that is durable. They must be at the front of the log, at its back, or
// all of it; what lies outside the log is left out.
func (s *Store) DeleteRange(min, max uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, last := s.bounds()
	switch {
	case last == 0 || min > max || max < first || min > last:
		return nil
	case min <= first && max >= last:
		return s.log.Reset(last + 1)
	case min <= first:
		return s.log.TruncateFront(max + 1)
	case max >= last:
		return s.log.TruncateBack(context.Background(), min-1)
	}
	return fmt.Errorf("%w: removing %d to %d of %d to %d", ErrOrder, min, max, first, last)
}

// Set makes value the durable value of key.
func (s *Store) Set(key, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	return s.log.Set(string(key), value)
}

// Get returns the value of key, or [ErrNoKey].
func (s *Store) Get(key []byte) ([]byte, error) {
	value, ok := s.log.Get(string(key))
	if !ok {
		return nil, ErrNoKey
	}
	return value, nil
}

// SetUint64 is Set of a number.
func (s *Store) SetUint64(key []byte, value uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 returns the number that SetUint64 has given key, 0 if there is none.
func (s *Store) GetUint64(key []byte) (uint64, error) {
	value, ok := s.log.Get(string(key))
	switch {
	case !ok:
		return 0, nil
	case len(value) != 8:
		return 0, fmt.Errorf("the value of %q is no number: it has %d bytes", key, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}
