package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
)

// appends: goroutines append records of 256 bytes to one file, and each waits
// until its own record is durable. In append the file has been written before,
// in allocated its blocks are only allocated. Bare files are of appendSize, and
// begun again when they are full.
func appends() (all []workload) {
	for _, n := range []int{1, 64} {
		all = append(all, appending(fmt.Sprint("append/", n), n, true))
	}
	for _, n := range []int{1, 64} {
		all = append(all, appending(fmt.Sprint("allocated/", n), n, false))
	}
	return append(all, workload{name: "ahead", unit: "flushes/s", open: openAhead})
}

const (
	recordSize = 256
	appendSize = 64 * mib
)

// appending is the workload of n goroutines.
func appending(name string, n int, written bool) workload {
	return workload{name: name, unit: "records/s", open: func(c config) ([]side, func(), error) {
		pool, err := async.NewPool(async.PoolOptions{})
		if err != nil {
			return nil, nil, err
		}
		// One caller alone does best without futures, many with them.
		var kinds []logKind
		if n == 1 {
			kinds = append(kinds, committerLog("fmmap", written), asyncLog("a future of each flush", pool, written),
				futuresLog(pool, written), ringLog("write+fdatasync", written, false))
		} else {
			kinds = append(kinds, asyncLog("fmmap", pool, written), futuresLog(pool, written),
				committerLog("core and flush.Committer", written), ringLog("write+fdatasync group commit", written, true))
		}
		kinds = append(kinds, directLog(written))
		if written && n > 1 {
			kinds = append(kinds, growingLogs...)
		}
		var sides []side
		for _, l := range kinds {
			sides = append(sides, side{l.name, func() (float64, error) { return c.appendTo(l, n, first) }})
		}
		return sides, func() { _ = pool.Close() }, nil
	}}
}

// errAhead ends openAhead: a page that was stored to is no longer written ahead.
var errAhead = errors.New("the file is full: choose a shorter -time")

// openAhead compares files of which each page is stored to and flushed once:
// zeros were written ahead, or blocks allocated.
func openAhead(c config) ([]side, func(), error) {
	paging := func(name string, written bool) side {
		return side{name, func() (float64, error) {
			path := filepath.Join(c.dir, "ahead")
			f, err := core.OpenFile(path, ringOptions(written))
			if err != nil {
				return 0, err
			}
			defer os.Remove(path)
			defer f.Close()
			if err := f.Flush(); err != nil {
				return 0, err
			}
			data, off := make([]byte, page), int64(0)
			return c.rate(1, func(int, *rand.Rand) error {
				if off == appendSize {
					return errAhead
				}
				data[0]++
				if _, err := f.WriteAt(data, off); err != nil {
					return err
				}
				off += page
				return f.FlushRange(off-page, page)
			})
		}}
	}
	return []side{paging("fmmap", true), paging("blocks allocated", false)}, nothing, nil
}

// first appends a record, since the first one may cost a file.
func first(add func([]byte) error) error { return add(make([]byte, recordSize)) }

// slots returns a function that returns where the next record goes.
func slots() func() int64 {
	var next atomic.Int64
	return func() int64 { return (next.Add(recordSize) - recordSize) % appendSize }
}

// ringOptions are those of a file to append to.
func ringOptions(written bool) core.Options {
	return core.Options{Access: core.ReadWrite, Create: true, Size: appendSize, WrittenAhead: written}
}

// asyncLog stores in the goroutine that appends, which waits in system calls
// alone, and flushes through futures.
func asyncLog(kind string, pool *async.Pool, written bool) logKind {
	return asyncFile(kind, pool, written, func(f *async.File, rec []byte, off int64) error {
		_, err := f.Core().WriteAtCall(rec, off)
		return err
	})
}

// futuresLog stores through futures too, each of which is handed to a goroutine
// and back.
func futuresLog(pool *async.Pool, written bool) logKind {
	ctx := context.Background()
	return asyncFile("async.File.WriteAt", pool, written, func(f *async.File, rec []byte, off int64) error {
		_, err := f.WriteAt(ctx, rec, off).Await(ctx)
		return err
	})
}

// asyncFile appends by a way of storing and the futures of flushes.
func asyncFile(kind string, pool *async.Pool, written bool, store func(f *async.File, rec []byte, off int64) error) logKind {
	return logKind{kind, func(name string) (func([]byte) error, func() error, error) {
		ctx := context.Background()
		f, err := async.Open(ctx, pool, name, ringOptions(written)).Await(ctx)
		if err != nil {
			return nil, nil, err
		}
		slot := slots()
		return func(rec []byte) error {
			off := slot()
			if err := store(f, rec, off); err != nil {
				return err
			}
			return f.FlushRange(off, recordSize).Wait()
		}, f.Close, nil
	}}
}

// committerLog appends without futures.
func committerLog(kind string, written bool) logKind {
	return logKind{kind, func(name string) (func([]byte) error, func() error, error) {
		f, err := core.OpenFile(name, ringOptions(written))
		if err != nil {
			return nil, nil, err
		}
		c := flush.NewCommitter(f, flush.Options{})
		slot := slots()
		return func(rec []byte) error {
			off := slot()
			if _, err := f.WriteAt(rec, off); err != nil {
				return err
			}
			return c.Flush(context.Background(), off, recordSize)
		}, f.Close, nil
	}}
}

// newRing makes a file of appendSize.
func newRing(name string, flags int, written bool) (ring, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|flags, 0o600)
	if err != nil {
		return ring{}, err
	}
	if written {
		zeros := aligned(mib)
		for off := int64(0); off < appendSize && err == nil; off += mib {
			_, err = f.WriteAt(zeros, off)
		}
	} else {
		err = unix.Fallocate(int(f.Fd()), 0, 0, appendSize)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		f.Close()
	}
	return ring{file: f, size: appendSize}, err
}

// ringLog appends by write and fdatasync, in groups or each caller alone.
func ringLog(kind string, written, groups bool) logKind {
	return logKind{kind, func(name string) (func([]byte) error, func() error, error) {
		r, err := newRing(name, 0, written)
		if err != nil {
			return nil, nil, err
		}
		if groups {
			return newGrouped(r.append).append, r.file.Close, nil
		}
		return r.append, r.file.Close, nil
	}}
}

// directLog appends by writes that pass by the page cache and are durable.
func directLog(written bool) logKind {
	return logKind{"O_DIRECT group commit", func(name string) (func([]byte) error, func() error, error) {
		r, err := newRing(name, unix.O_DIRECT|unix.O_DSYNC, written)
		if err != nil {
			return nil, nil, err
		}
		return newGrouped(newDirectRing(r).append).append, r.file.Close, nil
	}}
}

// growingLogs append to files that grow.
var growingLogs = []logKind{
	{"write + fsync under a mutex", func(name string) (func([]byte) error, func() error, error) {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return nil, nil, err
		}
		var mu sync.Mutex
		return func(rec []byte) error {
			mu.Lock()
			defer mu.Unlock()
			if _, err := f.Write(rec); err != nil {
				return err
			}
			return f.Sync()
		}, f.Close, nil
	}},
	{"bbolt Batch", func(name string) (func([]byte) error, func() error, error) {
		db, err := bolt.Open(name, 0o600, nil)
		if err != nil {
			return nil, nil, err
		}
		bucket := []byte("log")
		err = db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket(bucket); return err })
		return func(rec []byte) error {
			return db.Batch(func(tx *bolt.Tx) error {
				b := tx.Bucket(bucket)
				b.FillPercent = 1 // keys ascend
				seq, err := b.NextSequence()
				if err != nil {
					return err
				}
				return b.Put(binary.BigEndian.AppendUint64(nil, seq), rec)
			})
		}, db.Close, err
	}},
	tidwallLog,
}
