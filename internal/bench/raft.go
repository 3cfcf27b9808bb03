package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	raftwal "github.com/hashicorp/raft-wal"

	"github.com/fmmap-go/fmmap/examples/raftlog/store"
	"github.com/fmmap-go/fmmap/wal"
)

// rafts: the log stores of hashicorp/raft, each with its defaults.
func rafts() (all []workload) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"100", 100}, {"1k", kib}, {"10k", 10 * kib}} {
		for _, n := range []int{1, 10, 100} {
			all = append(all, workload{name: fmt.Sprintf("raft/store/%dx%s", n, size.name), unit: "entries/s", open: func(c config) ([]side, func(), error) {
				return c.stores(func(s *raftStore) (float64, error) { return c.storeEntries(s, n, size.bytes) })
			}})
		}
	}
	return append(all,
		workload{name: "raft/get/order", unit: "ns", open: func(c config) ([]side, func(), error) { return c.getters(false) }},
		workload{name: "raft/get/random", unit: "ns", open: func(c config) ([]side, func(), error) { return c.getters(true) }},
		workload{name: "raft/bytes", unit: "bytes/byte", open: func(c config) ([]side, func(), error) { return c.stores(c.bytesPerByte) }},
	)
}

// A raftStore is an open store with the index of its last entry.
type raftStore struct {
	raft.LogStore
	name string
	last uint64
}

// storeKinds open a store in a new directory.
var storeKinds = []struct {
	name string
	open func(dir string) (raft.LogStore, func() error, error)
}{
	{"fmmap", func(dir string) (raft.LogStore, func() error, error) {
		s, err := store.Open(context.Background(), dir, wal.Options{})
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	}},
	{"raft-wal", func(dir string) (raft.LogStore, func() error, error) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, nil, err
		}
		s, err := raftwal.Open(dir)
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	}},
	{"raft-boltdb", func(file string) (raft.LogStore, func() error, error) {
		s, err := raftboltdb.NewBoltStore(file)
		if err != nil {
			return nil, nil, err
		}
		return s, s.Close, nil
	}},
}

// openStores opens one of each kind.
func (c config) openStores() (all []*raftStore, closer func(), err error) {
	dir, err := os.MkdirTemp(c.dir, "raft-")
	if err != nil {
		return nil, nil, err
	}
	closers := []func(){func() { os.RemoveAll(dir) }}
	closer = func() {
		for i := len(closers) - 1; i >= 0; i-- {
			closers[i]()
		}
	}
	for i, k := range storeKinds {
		s, end, err := k.open(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			closer()
			return nil, nil, fmt.Errorf("%s: %w", k.name, err)
		}
		closers = append(closers, func() { _ = end() })
		all = append(all, &raftStore{LogStore: s, name: k.name})
	}
	return all, closer, nil
}

// stores returns sides that do the same to a store of each kind.
func (c config) stores(do func(*raftStore) (float64, error)) (sides []side, closer func(), err error) {
	all, closer, err := c.openStores()
	for _, s := range all {
		sides = append(sides, side{s.name, func() (float64, error) { return do(s) }})
	}
	return sides, closer, err
}

// add appends n entries in one batch.
func (s *raftStore) add(n int, data []byte) error {
	batch := make([]*raft.Log, n)
	for i := range batch {
		batch[i] = &raft.Log{Index: s.last + 1 + uint64(i), Term: 1, Data: data}
	}
	if err := s.StoreLogs(batch); err != nil {
		return err
	}
	s.last += uint64(n)
	return nil
}

// forget removes all but the last n entries, as raft does after a snapshot.
func (s *raftStore) forget(n uint64) error {
	first, err := s.FirstIndex()
	if err != nil || s.last < first+n {
		return err
	}
	return s.DeleteRange(first, s.last-n)
}

// prepare fills and empties a new store of this library until it has the files
// that it goes on with, which it writes ahead: a log in use has had them for
// long. The others write nothing ahead. Its batches are not so large that segments
// are allocated alone.
func (s *raftStore) prepare() error {
	const size, part, parts = 32 * kib, 10 * mib / (32 * kib), 14
	for s.name == storeKinds[0].name && s.last < parts*part {
		if err := s.add(1, make([]byte, size)); err != nil {
			return err
		}
		if s.last%part == 0 {
			if err := s.forget(2 * part); err != nil {
				return err
			}
		}
	}
	return nil
}

// storeEntries returns how many entries a second are stored in batches of n.
func (c config) storeEntries(s *raftStore, n, size int) (float64, error) {
	if err := s.prepare(); err != nil {
		return 0, err
	}
	data := bytes.Repeat([]byte("x"), size)
	batches, err := c.rate(1, func(int, *rand.Rand) error { return s.add(n, data) })
	if err != nil {
		return 0, err
	}
	return batches * float64(n), s.forget(1000)
}

// getters read entries of 1 KiB that are in memory.
func (c config) getters(random bool) ([]side, func(), error) {
	const entries = 20_000
	all, closer, err := c.openStores()
	if err != nil {
		return nil, nil, err
	}
	var sides []side
	for _, s := range all {
		for s.last < entries {
			if err := s.add(1000, bytes.Repeat([]byte("x"), kib)); err != nil {
				closer()
				return nil, nil, fmt.Errorf("%s: %w", s.name, err)
			}
		}
		sides = append(sides, side{s.name, func() (float64, error) {
			rng := rand.New(rand.NewPCG(1, 2))
			i := uint64(0)
			return c.each(func(n int) error {
				var e raft.Log
				for range n {
					if i = i%entries + 1; random {
						i = 1 + rng.Uint64N(entries)
					}
					if err := s.GetLog(i, &e); err != nil {
						return err
					}
					if len(e.Data) != kib || e.Index != i {
						return fmt.Errorf("entry %d is entry %d of %d bytes", i, e.Index, len(e.Data))
					}
				}
				return nil
			})
		}})
	}
	return sides, closer, nil
}

// bytesPerByte returns how many bytes of the page cache and of the device are
// written per byte of data, in batches of 100 entries of 1 KiB, while the log
// keeps its length. What the store has to write ahead once is not part of it.
func (c config) bytesPerByte(s *raftStore) (float64, error) {
	const batches = 100
	data := bytes.Repeat([]byte("x"), kib)
	if err := s.prepare(); err != nil {
		return 0, err
	}
	before, err := bytesWritten()
	if err != nil {
		return 0, err
	}
	for i := range batches {
		if err := s.add(100, data); err != nil {
			return 0, err
		}
		if i%50 == 49 {
			if err := s.forget(1000); err != nil {
				return 0, err
			}
		}
	}
	after, err := bytesWritten()
	return float64(after-before) / float64(batches*100*len(data)), err
}

// bytesWritten returns how many bytes this process has had written to devices:
// pages of files that it has dirtied, by stores too.
func bytesWritten() (n int64, err error) {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, err
	}
	_, rest, ok := bytes.Cut(b, []byte("\nwrite_bytes: "))
	if !ok {
		return 0, fmt.Errorf("/proc/self/io has no write_bytes")
	}
	_, err = fmt.Sscan(string(rest), &n)
	return n, err
}
