package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

// frozens: how late a ticker of 1 ms is at most, beside stores to a file of a
// file system that takes none for stalled, with two processors and collections
// of garbage. In frozen the file system is frozen, as the snapshot of a volume
// does for a moment; in throttled its device writes nothing and may have 4 MiB
// of dirty pages.
func frozens() []workload {
	return []workload{
		{name: "frozen", unit: "ms late", aim: "5 ms", open: func(c config) ([]side, func(), error) {
			return openStalled(1, func(d *stalledDisk) (func() error, error) {
				// Another process thaws, since this one may be held up.
				return meanwhile(`fsfreeze -f "$0" && echo frozen && sleep "$1"; fsfreeze -u "$0"`, d.dir, stalled)
			})
		}},
		{name: "throttled", unit: "ms late", aim: "5 ms", open: func(c config) ([]side, func(), error) {
			return openStalled(mib, func(d *stalledDisk) (func() error, error) {
				if err := d.disk.HoldFor(disk.Write, stalledFor); err != nil {
					return nil, err
				}
				bdi := fmt.Sprintf("/sys/class/bdi/%d:%d", unix.Major(d.device), unix.Minor(d.device))
				lift, err := meanwhile(`cd "$0" && echo 1 > strict_limit && echo 4194304 > max_bytes && echo limited && sleep "$1"
					echo 100 > max_ratio; echo 0 > strict_limit`, bdi, stalled)
				if err != nil {
					return nil, errors.Join(err, d.disk.Hold(disk.Write, false))
				}
				return func() error { return errors.Join(lift(), d.disk.Hold(disk.Write, false)) }, nil
			})
		}},
	}
}

const (
	stalled     = "0.5" // seconds
	stalledFor  = 500 * time.Millisecond
	stalledSize = 16 * mib
)

// A stalledDisk is a file on an ext4 of its own, as async, as a slice and as a
// descriptor. All of it is in memory and clean when a run begins.
type stalledDisk struct {
	disk   *disk.Disk
	dir    string
	device uint64
	pool   *async.Pool
	ours   *async.File
	fd     *os.File
	slice  []byte
}

// openStalled returns the sides, which store each bytes to every MiB of the file
// while stall holds up its file system.
func openStalled(each int, stall func(*stalledDisk) (end func() error, err error)) ([]side, func(), error) {
	if os.Geteuid() != 0 {
		return nil, nil, errors.New("mounting and freezing need root")
	}
	d := &stalledDisk{}
	if err := d.open(); err != nil {
		return nil, nil, errors.Join(err, d.close())
	}
	data := make([]byte, each)
	data[0] = 1
	beside := func(store func(off int64) error) func() (float64, error) {
		return func() (float64, error) {
			if err := errors.Join(d.ours.Flush().Wait(), d.fd.Sync()); err != nil {
				return 0, err
			}
			return lateBeside(store, func() (func() error, error) { return stall(d) })
		}
	}
	ctx := context.Background()
	return []side{
		{"fmmap", beside(func(off int64) error { _, err := d.ours.WriteAt(ctx, data, off).Await(ctx); return err })},
		{"through a mapped slice", beside(func(off int64) error { copy(d.slice[off:], data); return nil })},
		{"pwrite a goroutine", beside(func(off int64) error { _, err := d.fd.WriteAt(data, off); return err })},
	}, func() { _ = d.close() }, nil
}

func (d *stalledDisk) open() (err error) {
	if d.disk, err = disk.New(disk.Options{Size: 64 * mib, NoLog: true}); err != nil {
		return fmt.Errorf("the disk: %w", err)
	}
	if d.dir, err = d.disk.Mount("ext4"); err != nil {
		return err
	}
	name := filepath.Join(d.dir, "file")
	if err := os.WriteFile(name, make([]byte, stalledSize), 0o600); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		return err
	}
	d.device = st.Dev
	if d.pool, err = async.NewPool(async.PoolOptions{}); err != nil {
		return err
	}
	ctx := context.Background()
	if d.ours, err = async.Open(ctx, d.pool, name, core.Options{Access: core.ReadWrite}).Await(ctx); err != nil {
		return err
	}
	if d.fd, err = os.OpenFile(name, os.O_RDWR, 0); err != nil {
		return err
	}
	d.slice, err = unix.Mmap(int(d.fd.Fd()), 0, stalledSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	return err
}

func (d *stalledDisk) close() (err error) {
	if d.slice != nil {
		err = unix.Munmap(d.slice)
	}
	if d.fd != nil {
		err = errors.Join(err, d.fd.Close())
	}
	if d.ours != nil {
		err = errors.Join(err, d.ours.Close())
	}
	if d.pool != nil {
		err = errors.Join(err, d.pool.Close())
	}
	if d.disk != nil {
		err = errors.Join(err, d.disk.Close())
	}
	return err
}

// lateBeside returns how late a ticker of 1 ms was at most, in ms, while the
// stores waited.
func lateBeside(store func(off int64) error, stall func() (end func() error, err error)) (float64, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	const period = time.Millisecond
	end, err := stall()
	if err != nil {
		return 0, err
	}
	ticks, stop, late := make(chan bool, 1), make(chan bool), make(chan time.Duration)
	go func() {
		most := time.Duration(0)
		t := time.NewTimer(period)
		defer t.Stop()
		for next := time.Now().Add(period); ; next = time.Now().Add(period) {
			select {
			case <-stop:
				late <- most
				return
			case <-t.C:
				most = max(most, time.Since(next))
				t.Reset(period)
			}
			select {
			case ticks <- true:
			default:
			}
		}
	}()
	<-ticks // it runs
	errs := make(chan error, stalledSize/mib)
	var stores sync.WaitGroup
	for off := int64(0); off < stalledSize; off += mib {
		stores.Go(func() { errs <- store(off) })
	}
	for range 5 {
		runtime.GC()
	}
	err = end()
	stores.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	close(stop)
	return max(float64((<-late).Nanoseconds()), 1) / 1e6, err
}

// meanwhile starts a shell script with its arguments, which begin with $0, and
// returns when it has printed a line. end waits for its end.
func meanwhile(script string, args ...string) (end func() error, err error) {
	c := exec.Command("sh", append([]string{"-c", script}, args...)...)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil {
		return nil, fmt.Errorf("%w: %v: %s", err, c.Wait(), errs.String())
	}
	return func() error {
		_, _ = io.Copy(io.Discard, lines)
		return c.Wait()
	}, nil
}
