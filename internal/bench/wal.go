package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	tidwall "github.com/tidwall/wal"
	etcd "go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/wal"
)

// wals: goroutines append records of 256 bytes to one log, and each waits until
// its own record is durable. Each log has its defaults.
func wals() (all []workload) {
	for _, n := range []int{1, 8, 64} {
		all = append(all, workload{name: fmt.Sprint("wal/append/", n), unit: "records/s", open: func(c config) ([]side, func(), error) {
			var sides []side
			for _, l := range logs {
				sides = append(sides, side{l.name, func() (float64, error) { return c.appendTo(l, n, l.prepare) }})
			}
			return sides, func() {}, nil
		}})
	}
	return all
}

// A logKind is a way to append a record durably. open makes a log in a new
// directory. append may be called by many goroutines.
type logKind struct {
	name string
	open func(dir string) (append func(rec []byte) error, close func() error, err error)
}

// prepare appends until the log has the files that it begins with: some write
// them ahead, which takes as long as the device does.
func (l logKind) prepare(add func(rec []byte) error) error {
	for range 8 {
		if err := add(make([]byte, 10*mib)); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	return nil
}

// appendTo returns how many records n goroutines append per second to a new log
// that has been prepared.
func (c config) appendTo(l logKind, n int, prepare func(add func([]byte) error) error) (perSecond float64, err error) {
	dir, err := os.MkdirTemp(c.dir, "append-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	add, closer, err := l.open(filepath.Join(dir, "log"))
	if err != nil {
		return 0, err
	}
	defer func() {
		if cerr := closer(); err == nil {
			err = cerr
		}
	}()
	rec := make([]byte, recordSize)
	for i := range rec {
		rec[i] = byte(i)
	}
	if err := prepare(add); err != nil {
		return 0, err
	}
	return c.rate(n, func(int, *rand.Rand) error { return add(rec) })
}

var tidwallLog = logKind{"tidwall/wal with sync", func(dir string) (func([]byte) error, func() error, error) {
	l, err := tidwall.Open(dir, nil) // syncs every write
	if err != nil {
		return nil, nil, err
	}
	var mu sync.Mutex
	seq := uint64(0)
	return func(rec []byte) error {
		mu.Lock()
		defer mu.Unlock()
		seq++
		return l.Write(seq, rec)
	}, l.Close, nil
}}

var logs = []logKind{
	{"fmmap", func(dir string) (func([]byte) error, func() error, error) {
		ctx := context.Background()
		l, err := wal.Open(ctx, dir, wal.Options{})
		if err != nil {
			return nil, nil, err
		}
		return func(rec []byte) error { _, err := l.Write(ctx, rec); return err }, l.Close, nil
	}},
	tidwallLog,
	{"etcd's wal", func(dir string) (func([]byte) error, func() error, error) {
		l, err := etcd.Create(zap.NewNop(), dir, nil)
		if err != nil {
			return nil, nil, err
		}
		var mu sync.Mutex
		seq := uint64(0)
		return func(rec []byte) error {
			mu.Lock()
			defer mu.Unlock()
			seq++
			return l.Save(raftpb.HardState{}, []raftpb.Entry{{Index: seq, Term: 1, Data: rec}})
		}, l.Close, nil
	}},
	{"write + fdatasync, in groups", func(name string) (func([]byte) error, func() error, error) {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return nil, nil, err
		}
		g := newGrouped(func(data []byte) error {
			if _, err := f.Write(data); err != nil {
				return err
			}
			return unix.Fdatasync(int(f.Fd()))
		})
		return g.append, f.Close, nil
	}},
}
