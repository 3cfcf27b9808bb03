package main

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"

	tidwall "github.com/tidwall/wal"
	bolt "go.etcd.io/bbolt"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/wal"
)

// appends: 64 goroutines append records of 256 bytes to one log, and each waits
// until its own record is durable.
func appends() []workload {
	return []workload{{name: "append/64", unit: "records/s", open: openAppend}}
}

const (
	appenders  = 64
	recordSize = 256
)

func openAppend(c config) ([]side, func(), error) {
	pool, err := async.NewPool(async.PoolOptions{})
	if err != nil {
		return nil, nil, err
	}
	rec := make([]byte, recordSize)
	for i := range rec {
		rec[i] = byte(i)
	}
	// Each run has a new log: create makes it, and returns the functions that append
	// and close. The first record is not timed, since it may cost a file.
	run := func(name string, create func(path string) (func() error, func(), error)) side {
		return side{name, func() (float64, error) {
			dir, err := os.MkdirTemp(c.dir, "append-")
			if err != nil {
				return 0, err
			}
			defer os.RemoveAll(dir)
			do, closer, err := create(filepath.Join(dir, "log"))
			if err != nil {
				return 0, err
			}
			defer closer()
			if err := do(); err != nil {
				return 0, err
			}
			return c.rate(appenders, func(int, *rand.Rand) error { return do() })
		}}
	}
	ctx := context.Background()
	return []side{
		run("fmmap", func(path string) (func() error, func(), error) {
			l, err := wal.Open(ctx, path, wal.Options{Pool: pool})
			if err != nil {
				return nil, nil, err
			}
			return func() error { _, err := l.Append(rec).Await(ctx); return err }, func() { _ = l.Close() }, nil
		}),
		run("write + fsync under a mutex", func(path string) (func() error, func(), error) {
			f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
			if err != nil {
				return nil, nil, err
			}
			var mu sync.Mutex
			return func() error {
				mu.Lock()
				defer mu.Unlock()
				if _, err := f.Write(rec); err != nil {
					return err
				}
				return f.Sync()
			}, func() { f.Close() }, nil
		}),
		run("bbolt Batch", func(path string) (func() error, func(), error) {
			db, err := bolt.Open(path, 0o600, nil)
			if err != nil {
				return nil, nil, err
			}
			bucket := []byte("log")
			err = db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket(bucket); return err })
			return func() error {
				return db.Batch(func(tx *bolt.Tx) error {
					b := tx.Bucket(bucket)
					b.FillPercent = 1 // keys ascend
					seq, err := b.NextSequence()
					if err != nil {
						return err
					}
					return b.Put([]byte{byte(seq >> 56), byte(seq >> 48), byte(seq >> 40), byte(seq >> 32), byte(seq >> 24), byte(seq >> 16), byte(seq >> 8), byte(seq)}, rec)
				})
			}, func() { db.Close() }, err
		}),
		run("tidwall/wal with sync", func(path string) (func() error, func(), error) {
			l, err := tidwall.Open(path, nil) // syncs every write
			if err != nil {
				return nil, nil, err
			}
			var mu sync.Mutex
			seq := uint64(0)
			return func() error {
				mu.Lock()
				defer mu.Unlock()
				seq++
				return l.Write(seq, rec)
			}, func() { l.Close() }, nil
		}),
	}, func() { _ = pool.Close() }, nil
}
