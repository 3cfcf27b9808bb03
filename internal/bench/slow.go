package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

// slows: the readers of colds on a disk that takes a millisecond per read, and
// the lateness of a ticker beside them.
func slows() []workload {
	return []workload{
		{name: "slow/4k", unit: "requests/s", open: func(c config) ([]side, func(), error) {
			name, closer, err := slowDisk()
			if err != nil {
				return nil, nil, err
			}
			return openCold(c, name, page, closer)
		}},
		{name: "slow/ticker", unit: "µs late", open: openTicker},
	}
}

const (
	slowSize  = 512 * mib
	slowDelay = time.Millisecond
)

// slowDisk is a file on a FUSE file system whose reads take a millisecond,
// served by a process of its own.
func slowDisk() (name string, closer func(), err error) {
	if os.Geteuid() != 0 {
		return "", nil, errors.New("mounting needs root")
	}
	d, err := disk.New(disk.Options{Size: slowSize, NoLog: true})
	if err != nil {
		return "", nil, fmt.Errorf("the slow disk: %w", err)
	}
	closer = func() { _ = d.Close() }
	err = fill(d.File())
	if err == nil {
		err = d.Delay(disk.Read, slowDelay)
	}
	if err != nil {
		closer()
		return "", nil, err
	}
	return d.File(), closer, nil
}

// fill writes a whole file of the slow disk, before the disk becomes slow.
func fill(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, mib)
	for i := range b {
		b[i] = byte(i >> 8)
	}
	for off := int64(0); off < slowSize; off += mib {
		if _, err := f.WriteAt(b, off); err != nil {
			return err
		}
	}
	return f.Sync()
}

func openTicker(c config) ([]side, func(), error) {
	name, closer, err := slowDisk()
	if err != nil {
		return nil, nil, err
	}
	return coldSides(name, page, c.lateness), closer, nil
}
