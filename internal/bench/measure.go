package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	kib  = 1 << 10
	mib  = 1 << 20
	page = 4 * kib
)

// rate runs n goroutines, each of which calls do until the time is over, and
// returns the calls per second.
func (c config) rate(n int, do func(worker int, rng *rand.Rand) error) (float64, error) {
	var (
		wg    sync.WaitGroup
		calls atomic.Int64
		first atomic.Pointer[error]
	)
	begin := time.Now()
	end := begin.Add(c.time)
	for w := range n {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), uint64(begin.UnixNano())))
			done := int64(0)
			for time.Now().Before(end) {
				if err := do(w, rng); err != nil {
					first.CompareAndSwap(nil, &err)
					break
				}
				done++
			}
			calls.Add(done)
		})
	}
	wg.Wait()
	if err := first.Load(); err != nil {
		return 0, *err
	}
	return float64(calls.Load()) / time.Since(begin).Seconds(), nil
}

// each returns the nanoseconds per call of do, over at least a tenth of the
// time of a measurement.
func (c config) each(do func(n int) error) (float64, error) {
	for n := 1; ; n *= 2 {
		begin := time.Now()
		if err := do(n); err != nil {
			return 0, err
		}
		if took := time.Since(begin); took > c.time/10 {
			return float64(took.Nanoseconds()) / float64(n), nil
		}
	}
}

// written creates a file by writes of the given size, which is also the size of
// the folios in which the page cache then holds it.
func (c config) written(name string, size, each int) (string, error) {
	name = filepath.Join(c.dir, name)
	f, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, each)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	for done := 0; done < size; done += each {
		if _, err := f.Write(b); err != nil {
			return "", err
		}
	}
	return name, f.Sync()
}

// chill drops a file from the page cache. It is an error if the file is still
// there.
func chill(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return err
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(fi.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	defer unix.Munmap(m)
	vec := make([]byte, (len(m)+page-1)/page)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, address(m), uintptr(len(m)), address(vec)); errno != 0 {
		return errno
	}
	warm := 0
	for _, v := range vec {
		warm += int(v & 1)
	}
	if warm > len(vec)/50 {
		return fmt.Errorf("%d of %d pages of %s stay in memory: not on a disk?", warm, len(vec), name)
	}
	return nil
}

func nothing() {}
