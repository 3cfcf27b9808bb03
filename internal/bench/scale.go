package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/lock"
)

// scales: what one step costs among many, beside the same step among few. A
// ratio of 1 means that the cost does not grow.
func scales() []workload {
	flat := "ratio ≥ 0.5"
	return []workload{
		{name: "scale/pins", unit: "ns", aim: flat, open: growing(10_000, 100_000, "pins", releasePins)},
		{name: "scale/changes", unit: "ns", aim: flat, open: growing(10_000, 100_000, "changes", cancelChanges)},
		{name: "scale/ranges", unit: "ns", aim: "ratio ≥ 0.33", open: openRanges},
		{name: "scale/waiters", unit: "times", aim: "ratio ≥ 0.33", open: openWaiters},
	}
}

// growing compares the time of each of many steps with that of each of few.
func growing(few, many int, what string, measure func(name string, n int) (time.Duration, error)) func(config) ([]side, func(), error) {
	return func(c config) ([]side, func(), error) {
		name, err := c.written("scale", 2*mib, mib)
		if err != nil {
			return nil, nil, err
		}
		run := func(n int) func() (float64, error) {
			return func() (float64, error) {
				took, err := measure(name, n)
				return float64(took.Nanoseconds()) / float64(n), err
			}
		}
		return []side{
			{"fmmap", run(many)},
			{fmt.Sprintf("%d %s in place of %d", few, what, many), run(few)},
		}, func() { os.Remove(name) }, nil
	}
}

// releasePins releases n pins while a shrink waits for an older one.
func releasePins(name string, n int) (took time.Duration, err error) {
	f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite})
	if err != nil {
		return 0, err
	}
	defer f.Close()
	blocker, err := f.Pin(f.Len()-page, page)
	if err != nil {
		return 0, err
	}
	defer blocker.Release()
	pins := make([]*core.Pin, n)
	for i := range pins {
		if pins[i], err = f.Pin(int64(i)%mib, 1); err != nil {
			return 0, err
		}
	}
	change, err := f.StartTruncate(mib, nil)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	for _, p := range pins {
		p.Release()
	}
	took = time.Since(begin)
	if !change.Cancel() {
		return 0, errors.New("the shrink did not wait")
	}
	return took, nil
}

// cancelChanges cancels n changes that wait for a pin, the last one first.
func cancelChanges(name string, n int) (took time.Duration, err error) {
	f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite})
	if err != nil {
		return 0, err
	}
	defer f.Close()
	blocker, err := f.Pin(f.Len()-page, page)
	if err != nil {
		return 0, err
	}
	defer blocker.Release()
	changes := make([]*core.Change, n)
	for i := range changes {
		if changes[i], err = f.StartTruncate(mib, nil); err != nil {
			return 0, err
		}
	}
	begin := time.Now()
	for i := range changes {
		if !changes[n-1-i].Cancel() {
			return 0, errors.New("a change did not wait")
		}
	}
	return time.Since(begin), nil
}

// openRanges releases and takes again one of 10,000 locks of ranges of one open
// file, beside the kernel's locks alone, which it finds one by one.
func openRanges(c config) ([]side, func(), error) {
	const many = 10_000
	name, err := c.written("ranges", page, page)
	if err != nil {
		return nil, nil, err
	}
	ours := func() (float64, error) {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		locks := make([]*lock.Lock, many)
		for i := range locks {
			locks[i] = lock.New(f).Range(2*int64(i), 1)
			if err := locks[i].Try(lock.Exclusive); err != nil {
				return 0, err
			}
		}
		return c.each(func(times int) error {
			for i := range times {
				l := locks[i*7919%many]
				if err := l.Release(); err != nil {
					return err
				}
				if err := l.Try(lock.Exclusive); err != nil {
					return err
				}
			}
			return nil
		})
	}
	kernel := func() (float64, error) {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		set := func(i int, kind int16) error {
			return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: kind, Start: 2 * int64(i), Len: 1})
		}
		for i := range many {
			if err := set(i, unix.F_WRLCK); err != nil {
				return 0, err
			}
		}
		return c.each(func(times int) error {
			for i := range times {
				if err := set(i*7919%many, unix.F_UNLCK); err != nil {
					return err
				}
				if err := set(i*7919%many, unix.F_WRLCK); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return []side{
		{"fmmap", ours},
		{"fcntl alone", kernel},
	}, func() { os.Remove(name) }, nil
}

// openWaiters has n requests for one lock wait, each by an os.File of its own,
// and the lock handed on through all of them. The figure is how much longer that
// takes each of many than each of few; the kernel's is that of a flock(2) and its
// release by each of as many files in turn.
func openWaiters(c config) ([]side, func(), error) {
	const few = 100
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, nil, err
	}
	many := int(min(10_000, limit.Cur/2))
	if many < 10*few {
		return nil, nil, fmt.Errorf("needs %d descriptors", 20*few)
	}
	name, err := c.written("waiters", page, page)
	if err != nil {
		return nil, nil, err
	}
	growth := func(measure func([]*os.File) (time.Duration, error)) func() (float64, error) {
		return func() (float64, error) {
			per := func(n int) (v float64, err error) {
				fs := make([]*os.File, n)
				for i := range fs {
					if fs[i], err = os.OpenFile(name, os.O_RDWR, 0); err != nil {
						return 0, err
					}
					defer fs[i].Close()
				}
				// The clock cannot be read well over a few.
				var took time.Duration
				for range many / n {
					t, err := measure(fs)
					if err != nil {
						return 0, err
					}
					took += t
				}
				return float64(took) / float64(many/n*n), nil
			}
			a, err := per(few)
			if err != nil {
				return 0, err
			}
			b, err := per(many)
			return b / a, err
		}
	}
	return []side{
		{"fmmap", growth(handOn)},
		{"flock alone", growth(func(fs []*os.File) (time.Duration, error) {
			begin := time.Now()
			for _, f := range fs {
				for _, how := range []int{unix.LOCK_EX | unix.LOCK_NB, unix.LOCK_UN} {
					if err := unix.Flock(int(f.Fd()), how); err != nil {
						return 0, err
					}
				}
			}
			return time.Since(begin), nil
		})},
	}, func() { os.Remove(name) }, nil
}

// handOn has all wait behind the first, and then each release in turn.
func handOn(fs []*os.File) (time.Duration, error) {
	locks := make([]*lock.Lock, len(fs))
	for i, f := range fs {
		locks[i] = lock.New(f)
	}
	if err := locks[0].Try(lock.Exclusive); err != nil {
		return 0, err
	}
	begin := time.Now()
	done := make(chan error, len(fs))
	for _, l := range locks[1:] {
		l.AcquireFunc(context.Background(), lock.Exclusive, func(err error) { done <- err })
	}
	for _, l := range locks {
		if err := l.Release(); err != nil {
			return 0, err
		}
		if l != locks[len(locks)-1] {
			if err := <-done; err != nil {
				return 0, err
			}
		}
	}
	return time.Since(begin), nil
}
