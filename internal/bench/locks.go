package main

import (
	"context"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/fmmap-go/fmmap/lock"
)

// locks: an exclusive lock on a whole file, acquired and released by one
// goroutine, or passed around by 64. In lock/64 the goroutines of this library
// share one open file and have a lock each, as a program would use it. In
// lock/64files each opens the file, as gofrs/flock always does, so that each
// hand-over takes two system calls.
func locks() []workload {
	return []workload{
		{name: "lock/idle", unit: "ns", open: openIdleLock},
		{name: "lock/64", unit: "µs p99", open: func(c config) ([]side, func(), error) { return openLockRound(c, true) }},
		{name: "lock/64files", unit: "µs p99", open: func(c config) ([]side, func(), error) { return openLockRound(c, false) }},
	}
}

func openIdleLock(c config) ([]side, func(), error) {
	name, err := c.written("lock", page, page)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	l, theirs := lock.New(f), flock.New(name)
	return []side{
		{"fmmap", func() (float64, error) {
			return c.each(func(n int) error {
				for range n {
					if err := l.Try(lock.Exclusive); err != nil {
						return err
					}
					if err := l.Release(); err != nil {
						return err
					}
				}
				return nil
			})
		}},
		{"gofrs/flock", func() (float64, error) {
			return c.each(func(n int) error {
				for range n {
					if ok, err := theirs.TryLock(); err != nil || !ok {
						return err
					}
					if err := theirs.Unlock(); err != nil {
						return err
					}
				}
				return nil
			})
		}},
	}, func() { f.Close(); os.Remove(name) }, nil
}

const (
	lockers = 64
	rounds  = 16 // acquisitions per goroutine
)

func openLockRound(c config, shared bool) ([]side, func(), error) {
	name, err := c.written("lock", page, page)
	if err != nil {
		return nil, nil, err
	}
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	ctx := context.Background()
	return []side{
		{"fmmap", func() (float64, error) {
			return handRound(func() (func() error, func() error, func(), error) {
				f, closer := file, nothing
				if !shared {
					own, err := os.OpenFile(name, os.O_RDWR, 0)
					if err != nil {
						return nil, nil, nil, err
					}
					f, closer = own, func() { own.Close() }
				}
				l := lock.New(f)
				return func() error { return l.Acquire(ctx, lock.Exclusive) }, l.Release, closer, nil
			})
		}},
		{"gofrs/flock", func() (float64, error) {
			return handRound(func() (func() error, func() error, func(), error) {
				l := flock.New(name)
				take := func() error { _, err := l.TryLockContext(ctx, time.Millisecond); return err }
				return take, l.Unlock, func() {}, nil
			})
		}},
	}, func() { file.Close(); os.Remove(name) }, nil
}

// handRound makes each goroutine acquire the lock several times and hold it for
// 10 µs. It returns the 99th percentile of the wait in microseconds.
func handRound(open func() (take, give func() error, closer func(), err error)) (float64, error) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		waits []time.Duration
		first error
	)
	for range lockers {
		take, give, closer, err := open()
		if err != nil {
			return 0, err
		}
		wg.Go(func() {
			defer closer()
			var own []time.Duration
			var err error
			for range rounds {
				begin := time.Now()
				if err = take(); err != nil {
					break
				}
				own = append(own, time.Since(begin))
				for held := time.Now(); time.Since(held) < 10*time.Microsecond; {
				}
				if err = give(); err != nil {
					break
				}
			}
			mu.Lock()
			defer mu.Unlock()
			waits = append(waits, own...)
			if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	if first != nil {
		return 0, first
	}
	slices.Sort(waits)
	return float64(waits[len(waits)*99/100].Nanoseconds()) / 1000, nil
}
