package main

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"

	emmap "github.com/edsrzf/mmap-go"
	xmmap "golang.org/x/exp/mmap"

	"github.com/fmmap-go/fmmap/core"
)

// hots: reads of a file that is in memory.
func hots() []workload {
	return []workload{
		{name: "hot/view", unit: "ns", open: openView},
		{name: "hot/readat4k", unit: "ns", open: openReadAt},
		{name: "hot/parallel", unit: "reads/s", open: func(c config) ([]side, func(), error) { return openParallel(c, cached) }},
		{name: "hot/far", unit: "reads/s", open: func(c config) ([]side, func(), error) { return openParallel(c, hotSize) }},
	}
}

const (
	hotSize = 64 * mib
	cached  = 256 * kib // what fits into the second-level cache
)

// hot is a file in memory, opened by all sides.
type hot struct {
	name  string
	ours  *core.File
	plain *os.File
	slice emmap.MMap
	exp   *xmmap.ReaderAt
}

func (c config) hot() (*hot, error) {
	name, err := c.written("hot", hotSize, mib)
	if err != nil {
		return nil, err
	}
	h := &hot{name: name}
	if h.ours, err = core.OpenFile(name, core.Options{Populate: true}); err != nil {
		return nil, err
	}
	if h.plain, err = os.Open(name); err != nil {
		return nil, err
	}
	if h.slice, err = emmap.Map(h.plain, emmap.RDONLY, 0); err != nil {
		return nil, err
	}
	if err := sum(h.slice); err != nil {
		return nil, err
	}
	h.exp, err = xmmap.Open(name)
	return h, err
}

func (h *hot) close() {
	h.ours.Close()
	_ = h.slice.Unmap()
	h.exp.Close()
	h.plain.Close()
	os.Remove(h.name)
}

// loads sums the uint64s of a cached part of b, n times.
//
//go:noinline
func loads(b []byte, n int) (s uint64) {
	b = b[:cached]
	for range n {
		for i := 0; i+8 <= len(b); i += 8 {
			s += binary.LittleEndian.Uint64(b[i:])
		}
	}
	return s
}

func openView(c config) ([]side, func(), error) {
	h, err := c.hot()
	if err != nil {
		return nil, nil, err
	}
	per := func(v float64, err error) (float64, error) { return v / (cached / 8), err }
	return []side{
		{"fmmap", func() (float64, error) {
			return per(c.each(func(n int) error {
				return h.ours.View(func(b []byte) error { loads(b, n); return nil })
			}))
		}},
		{"raw slice", func() (float64, error) {
			return per(c.each(func(n int) error { loads(h.slice, n); return nil }))
		}},
	}, h.close, nil
}

func openReadAt(c config) ([]side, func(), error) {
	h, err := c.hot()
	if err != nil {
		return nil, nil, err
	}
	reader := func(name string, at func([]byte, int64) (int, error)) side {
		buf := make([]byte, page)
		return side{name, func() (float64, error) {
			return c.each(func(n int) error {
				rng := rand.New(rand.NewPCG(1, 2))
				for range n {
					if _, err := at(buf, rng.Int64N(hotSize-page)); err != nil {
						return err
					}
				}
				return nil
			})
		}}
	}
	return []side{
		reader("fmmap", h.ours.ReadAt),
		reader("x/exp/mmap", h.exp.ReadAt),
		reader("pread", h.plain.ReadAt),
	}, h.close, nil
}

// guarded is the usual lock around a slice that may be unmapped.
type guarded struct {
	mu sync.RWMutex
	b  []byte
}

func (g *guarded) ReadAt(p []byte, off int64) (int, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return copy(p, g.b[off:]), nil
}

// openParallel reads 64 bytes at random places of the first size bytes, on all
// cores. If those are cached, it measures the code. Over the whole file it
// mostly waits for memory, and the processor overlaps more of these waits the
// fewer instructions lie between two reads.
func openParallel(c config, size int64) ([]side, func(), error) {
	h, err := c.hot()
	if err != nil {
		return nil, nil, err
	}
	cores := runtime.GOMAXPROCS(0)
	all := func(name string, at func([]byte, int64) (int, error)) side {
		return side{name, func() (float64, error) {
			const batch = 1024
			calls, err := c.rate(cores, func(_ int, rng *rand.Rand) error {
				var buf [64]byte
				for range batch {
					if _, err := at(buf[:], rng.Int64N(size-64)); err != nil {
						return err
					}
				}
				return nil
			})
			return calls * batch, err
		}}
	}
	return []side{all("fmmap", h.ours.ReadAt), all("RWMutex round a slice", (&guarded{b: h.slice}).ReadAt)}, h.close, nil
}
