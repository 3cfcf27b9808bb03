package main

import (
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/fmmap-go/fmmap/core"
)

// copies: a durable copy of a file of 256 MiB.
func copies() []workload {
	return []workload{{name: "copy", unit: "ms", open: func(c config) ([]side, func(), error) {
		name, err := c.written("copy", 256*mib, mib)
		if err != nil {
			return nil, nil, err
		}
		f, err := core.Open(name)
		if err != nil {
			return nil, nil, err
		}
		to := filepath.Join(c.dir, "copied")
		times := func(copy func() error) func() (float64, error) {
			return func() (float64, error) {
				defer os.Remove(to)
				begin := time.Now()
				err := copy()
				return float64(time.Since(begin).Microseconds()) / 1000, err
			}
		}
		return []side{
			{"fmmap", times(func() error { return f.CopyTo(to, 0, f.Len()) })},
			{"io.Copy + fsync", times(func() error { return ioCopy(to, name) })},
		}, func() { f.Close(); os.Remove(name) }, nil
	}}}
}

func ioCopy(to, from string) error {
	return copied(to, from, func(dst, src *os.File) error {
		_, err := io.Copy(dst, src)
		return err
	})
}

// copied has a file copied, and syncs the copy.
func copied(to, from string, by func(dst, src *os.File) error) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	defer dst.Close()
	if err := by(dst, src); err != nil {
		return err
	}
	return dst.Sync()
}
