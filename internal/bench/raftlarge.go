package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"
)

// largeRafts: what raft does rarely to a log store that holds much. Entries have
// 10 KiB, and a ticker of 1 ms runs beside. The figure is the time, or how late
// the ticker is in the 99th percentile, up to 50 ms after it.
func largeRafts() (all []workload) {
	for _, w := range []struct {
		name   string
		holds  int // bytes
		do     func(*largeStore) error
		aim    string
		settle func(*largeStore) error // before it
	}{
		{"raft/open", 1024 * mib, (*largeStore).reopen, "≤ 50 ms, ratio ≥ 2", (*largeStore).shut},
		{"raft/front", 256 * mib, func(s *largeStore) error { return s.forget(s.entries(128 * mib)) }, "ratio ≥ 2", (*largeStore).refill},
		{"raft/back", 256 * mib, func(s *largeStore) error { return s.back(s.entries(70 * mib)) }, "ratio ≥ 2", (*largeStore).refill},
	} {
		for _, tail := range []bool{false, true} {
			row := workload{name: w.name, unit: "ms", aim: w.aim}
			if tail {
				row = workload{name: w.name + "/tail", unit: "ms p99", aim: "≤ 5 ms"}
			}
			row.open = func(c config) ([]side, func(), error) {
				return c.largeSides(w.holds, func(s *largeStore) (float64, error) {
					if err := w.settle(s); err != nil {
						return 0, err
					}
					return s.beside(tail, func() error { return w.do(s) })
				})
			}
			all = append(all, row)
		}
	}
	return append(all, workload{name: "raft/get/cold", unit: "µs", aim: "ratio ≥ 1.0", open: func(c config) ([]side, func(), error) {
		return c.largeSides(256*mib, c.getCold)
	}})
}

// A largeStore is a store of holds bytes.
type largeStore struct {
	raftStore
	path  string // a directory or a file
	holds int
	quick bool
	open  func(path string) (raft.LogStore, func() error, error)
	close func() error // nil while it is closed
}

const largeEntry = 10 * kib

// entries returns how many entries have n bytes.
func (s *largeStore) entries(n int) uint64 {
	if s.quick {
		n /= 16
	}
	return uint64(n / largeEntry)
}

// largeSides returns sides that do the same to a store of each kind, which holds
// that many bytes.
func (c config) largeSides(holds int, do func(*largeStore) (float64, error)) (sides []side, closer func(), err error) {
	dir, err := os.MkdirTemp(c.dir, "raft-")
	if err != nil {
		return nil, nil, err
	}
	var all []*largeStore
	closer = func() {
		for _, s := range all {
			if s.close != nil {
				_ = s.close()
			}
		}
		os.RemoveAll(dir)
	}
	for i, k := range storeKinds {
		s := &largeStore{raftStore: raftStore{name: k.name}, path: filepath.Join(dir, fmt.Sprint(i)), holds: holds, quick: c.quick, open: k.open}
		all = append(all, s)
		if err = s.reopen(); err == nil {
			err = s.refill()
		}
		if err != nil {
			closer()
			return nil, nil, fmt.Errorf("%s: %w", k.name, err)
		}
		sides = append(sides, side{k.name, func() (float64, error) { return do(s) }})
	}
	return sides, closer, nil
}

// refill appends until the store holds what it should.
func (s *largeStore) refill() error {
	data := make([]byte, largeEntry)
	for {
		first, err := s.FirstIndex()
		if err != nil {
			return err
		}
		if s.last > 0 && s.last+1-first >= s.entries(s.holds) {
			return nil
		}
		if err := s.add(100, data); err != nil {
			return err
		}
	}
}

// shut closes the store and drops its files from the page cache.
func (s *largeStore) shut() error {
	if s.close != nil {
		if err := s.close(); err != nil {
			return err
		}
		s.close = nil
	}
	// raft-wal's Close leaves this file open and locked.
	if name := filepath.Join(s.path, "wal-meta.db"); s.name == "raft-wal" {
		if err := renew(name); err != nil {
			return err
		}
	}
	return s.eachFile(patientChill)
}

// renew puts a copy of a file in its place.
func renew(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// reopen opens the store and finds its ends.
func (s *largeStore) reopen() (err error) {
	if s.LogStore, s.close, err = s.open(s.path); err != nil {
		return err
	}
	last, err := s.LastIndex()
	if err == nil && last != s.last {
		err = fmt.Errorf("the last entry is %d, want %d", last, s.last)
	}
	return err
}

// back removes the last n entries.
func (s *largeStore) back(n uint64) error {
	s.last -= n
	return s.DeleteRange(s.last+1, s.last+n)
}

// beside runs do and returns how long it takes, or how late a ticker is beside
// and after it, in milliseconds.
func (s *largeStore) beside(tail bool, do func() error) (float64, error) {
	runtime.GC() // what was left by the side before
	var took time.Duration
	late, err := ticked(time.Millisecond, func() error {
		began := time.Now()
		err := do()
		took = time.Since(began)
		time.Sleep(50 * time.Millisecond)
		return err
	})
	if err != nil {
		return 0, err
	}
	if tail {
		return percentile(late, 0.99) / 1e3, nil
	}
	return float64(took.Nanoseconds()) / 1e6, nil
}

// getCold returns how long it takes to read an entry at random, in the median.
// Before each the store's files are dropped from the page cache.
func (c config) getCold(s *largeStore) (float64, error) {
	first, err := s.FirstIndex()
	if err != nil {
		return 0, err
	}
	rng := rand.New(rand.NewPCG(3, first))
	var took []time.Duration
	for begin := time.Now(); time.Since(begin) < c.time || len(took) < 20; {
		if err := s.evict(); err != nil {
			return 0, err
		}
		var e raft.Log
		i := first + rng.Uint64N(s.last+1-first)
		began := time.Now()
		if err := s.GetLog(i, &e); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
		if e.Index != i || len(e.Data) != largeEntry {
			return 0, fmt.Errorf("entry %d is entry %d of %d bytes", i, e.Index, len(e.Data))
		}
	}
	return percentile(took, 0.5), nil
}

// eachFile calls do for each file of the store.
func (s *largeStore) eachFile(do func(name string) error) error {
	return filepath.WalkDir(s.path, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if fi, err := d.Info(); err != nil || fi.Size() == 0 {
			return err
		}
		return do(name)
	})
}

// evict drops the store's files from the page cache while they are open, and
// mapped.
func (s *largeStore) evict() error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	for scan := bufio.NewScanner(bytes.NewReader(maps)); scan.Scan(); {
		if !strings.Contains(scan.Text(), s.path) {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(scan.Text(), "%x-%x ", &from, &to); err != nil {
			return err
		}
		// This unmaps the pages of a shared mapping, and loses nothing.
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
			return errno
		}
	}
	return s.eachFile(patientChill)
}

// patientChill is chill that tries again while pages of the file are in use for
// a moment yet.
func patientChill(name string) (err error) {
	for range 50 {
		if err = chill(name); err == nil {
			return nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return err
}
