package main

import (
	"os"
	"path/filepath"
	"time"

	"github.com/dgraph-io/ristretto/v2/z"
	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/core"
)

// grows: a mapped file grows by 1 MiB at a time. Each side allocates the new
// blocks, so that a full disk is an error and not a SIGBUS, and touches the new
// pages; in grow/large also all old ones.
func grows() []workload {
	return []workload{
		{name: "grow/small", unit: "µs/growth", open: func(c config) ([]side, func(), error) {
			g := growth{dir: c.dir, start: mib, steps: 256}
			return []side{{"fmmap", g.ours}, {"ristretto z.MmapFile", g.ristretto}, {"unmap and map again", g.again}}, nothing, nil
		}},
		{name: "grow/large", unit: "µs/growth", open: func(c config) ([]side, func(), error) {
			g := growth{dir: c.dir, start: 1024 * mib, steps: 64, all: true}
			return []side{{"fmmap", g.ours}, {"unmap and map again", g.again}}, nothing, nil
		}},
	}
}

type growth struct {
	dir   string
	start int64
	steps int64
	all   bool // touch everything after each step
}

// measure times the steps. grow makes the file size bytes long and returns its
// bytes.
func (g growth) measure(grow func(size int64) ([]byte, error)) (float64, error) {
	b, err := grow(g.start)
	if err != nil {
		return 0, err
	}
	write(b)
	begin := time.Now()
	for i := range g.steps {
		before := int64(len(b))
		if b, err = grow(g.start + (i+1)*mib); err != nil {
			return 0, err
		}
		write(b[before:])
		if g.all {
			if err := sum(b); err != nil {
				return 0, err
			}
		}
	}
	return float64(time.Since(begin).Microseconds()) / float64(g.steps), nil
}

// write dirties every page.
func write(b []byte) {
	for i := 0; i < len(b); i += page {
		b[i] = 1
	}
}

func (g growth) path() string { return filepath.Join(g.dir, "grow") }

func (g growth) ours() (float64, error) {
	defer os.Remove(g.path())
	f, err := core.OpenFile(g.path(), core.Options{Access: core.ReadWrite, Create: true, Truncate: true, Reserve: 2 * g.start})
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return g.measure(func(size int64) ([]byte, error) {
		if err := f.Truncate(size); err != nil {
			return nil, err
		}
		p, err := f.Pin(0, size)
		if err != nil {
			return nil, err
		}
		defer p.Release() // nothing shrinks or closes it here
		return p.Bytes(), nil
	})
}

func (g growth) ristretto() (float64, error) {
	defer os.Remove(g.path())
	f, err := z.OpenMmapFile(g.path(), os.O_RDWR|os.O_CREATE, int(g.start))
	if err != nil && err != z.NewFile {
		return 0, err
	}
	defer f.Close(-1)
	return g.measure(func(size int64) ([]byte, error) {
		if err := allocate(f.Fd, size); err != nil {
			return nil, err
		}
		if err := f.Truncate(size); err != nil {
			return nil, err
		}
		return f.Data, nil
	})
}

func (g growth) again() (float64, error) {
	defer os.Remove(g.path())
	f, err := os.Create(g.path())
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var m []byte
	defer func() {
		if m != nil {
			_ = unix.Munmap(m)
		}
	}()
	return g.measure(func(size int64) ([]byte, error) {
		if m != nil {
			if err := unix.Munmap(m); err != nil {
				return nil, err
			}
		}
		if err := allocate(f, size); err != nil {
			return nil, err
		}
		m, err = unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		return m, err
	})
}

func allocate(f *os.File, size int64) error {
	fi, err := f.Stat()
	if err != nil || fi.Size() >= size {
		return err
	}
	return unix.Fallocate(int(f.Fd()), 0, fi.Size(), size-fi.Size())
}
