package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	emmap "github.com/edsrzf/mmap-go"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// filesOpen is how many files a set has open: what a process with 1,024
// descriptors can spare.
const filesOpen = 900

// files: small files at random, of which a set has few open, beside opening and
// closing the file each time. The figure is the 99th percentile of those uses for
// which the set had to open a file again.
func files() []workload {
	return []workload{{name: "files/100k", unit: "µs p99", aim: "≤ 200 µs", open: openFiles}}
}

func openFiles(c config) ([]side, func(), error) {
	n := 100_000
	if c.quick {
		n = 5_000
	}
	dir := filepath.Join(c.dir, "files")
	name := func(i int) string { return filepath.Join(dir, fmt.Sprint(i%100), fmt.Sprint(i)) }
	remove := func() { os.RemoveAll(dir) }
	for i := range n {
		if i < 100 {
			if err := os.MkdirAll(filepath.Dir(name(i)), 0o700); err != nil {
				return nil, nil, err
			}
		}
		if err := os.WriteFile(name(i), fmt.Append(nil, i), 0o600); err != nil {
			remove()
			return nil, nil, err
		}
	}
	check := func(f *core.File, i int) error {
		return f.View(func(b []byte) error {
			if string(b) != fmt.Sprint(i) {
				return fmt.Errorf("file %d holds %q", i, b)
			}
			return nil
		})
	}
	ctx := context.Background()
	set, err := async.NewFileSet(nil, async.FileSetOptions{MaxOpen: filesOpen})
	if err != nil {
		remove()
		return nil, nil, err
	}
	use := func(i int) error {
		l, err := set.Get(ctx, name(i)).Await(ctx)
		if err != nil {
			return err
		}
		defer l.Release()
		return check(l.File().Core(), i)
	}
	for i := range n { // each once, so that all later openings are reopenings in a warm directory
		if err := use(i); err != nil {
			return nil, nil, errors.Join(err, set.Close())
		}
	}
	if st := set.Stats(); st.Open > filesOpen || st.Opened != uint64(n) {
		return nil, nil, fmt.Errorf("the set has %+v", st)
	}
	return []side{
			{"fmmap", func() (float64, error) {
				rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
				var took []time.Duration
				for end := time.Now().Add(c.time); time.Now().Before(end) || len(took) < 100; {
					i := rng.IntN(n)
					if l, open := set.TryGet(name(i)); open {
						l.Release()
						continue
					}
					begin := time.Now()
					if err := use(i); err != nil {
						return 0, err
					}
					took = append(took, time.Since(begin))
				}
				return percentile(took, 0.99), nil
			}},
			{"opened and closed each time", func() (float64, error) {
				rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
				var took []time.Duration
				for end := time.Now().Add(c.time); time.Now().Before(end) || len(took) < 100; {
					i := rng.IntN(n)
					begin := time.Now()
					f, err := core.Open(name(i))
					if err != nil {
						return 0, err
					}
					if err := errors.Join(check(f, i), f.Close()); err != nil {
						return 0, err
					}
					took = append(took, time.Since(begin))
				}
				return percentile(took, 0.99), nil
			}},
			{"os.Open and mmap each time", func() (float64, error) {
				rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
				var took []time.Duration
				for end := time.Now().Add(c.time); time.Now().Before(end) || len(took) < 100; {
					i := rng.IntN(n)
					begin := time.Now()
					if err := usePlain(name(i), fmt.Sprint(i)); err != nil {
						return 0, err
					}
					took = append(took, time.Since(begin))
				}
				return percentile(took, 0.99), nil
			}},
		}, func() {
			_ = set.Close()
			remove()
		}, nil
}

// usePlain opens a file without a lock, maps it, checks what it holds, and undoes
// all.
func usePlain(name, want string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := emmap.Map(f, emmap.RDONLY, 0)
	if err != nil {
		return err
	}
	if string(m) != want {
		err = fmt.Errorf("%s holds %q", name, m)
	}
	return errors.Join(err, m.Unmap())
}
