package main

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// ticked runs do and returns how late each tick of a ticker beside it was.
func ticked(period time.Duration, do func() error) (late []time.Duration, err error) {
	stop, all := make(chan bool), make(chan []time.Duration)
	go func() {
		var late []time.Duration
		next := time.Now().Add(period)
		t := time.NewTimer(period)
		defer t.Stop()
		for {
			select {
			case <-stop:
				all <- late
				return
			case <-t.C:
				now := time.Now()
				late = append(late, now.Sub(next))
				next = now.Add(period)
				t.Reset(period)
			}
		}
	}()
	err = do()
	close(stop)
	late = <-all
	if err == nil && len(late) == 0 {
		err = errors.New("too short for a tick")
	}
	return late, err
}

// tickLate runs the readers and returns a percentile of the lateness of a ticker
// beside them, in microseconds.
func (c config) tickLate(do reader, period time.Duration, p float64) (float64, error) {
	late, err := ticked(period, func() error {
		_, err := c.rate(readers, do)
		return err
	})
	if err != nil {
		return 0, err
	}
	return percentile(late, p), nil
}

// lateness is how late a ticker of 100 µs is in the median.
func (c config) lateness(do reader) (float64, error) {
	return c.tickLate(do, 100*time.Microsecond, 0.5)
}

// readTail is how late a ticker of 1 ms is in the 99th percentile.
func (c config) readTail(do reader) (float64, error) {
	return c.tickLate(do, time.Millisecond, 0.99)
}

// readRate is how many requests the readers make per second.
func (c config) readRate(do reader) (float64, error) { return c.rate(readers, do) }

// readCost is the processor time of a request, in microseconds, for what the
// process does in the kernel too.
func (c config) readCost(do reader) (float64, error) {
	runtime.GC() // what was left by the side before
	before, err := processorTime()
	if err != nil {
		return 0, err
	}
	counts := make([]int64, readers*16) // a cache line per reader
	_, err = c.rate(readers, func(worker int, rng *rand.Rand) error {
		counts[worker*16]++
		return do(worker, rng)
	})
	if err != nil {
		return 0, err
	}
	after, err := processorTime()
	requests := int64(0)
	for _, n := range counts {
		requests += n
	}
	return float64((after - before).Nanoseconds()) / 1e3 / float64(requests), err
}

// processorTime returns what the process has used.
func processorTime() (time.Duration, error) {
	var u unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}
