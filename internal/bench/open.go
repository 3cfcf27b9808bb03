package main

import (
	"os"

	emmap "github.com/edsrzf/mmap-go"

	"github.com/fmmap-go/fmmap/core"
)

// opens: a file of 1 MiB opened, mapped, a byte read, and closed.
func opens() []workload {
	return []workload{{name: "open", unit: "ns", aim: "ratio ≥ 0.7", open: func(c config) ([]side, func(), error) {
		name, err := c.written("open", mib, mib)
		if err != nil {
			return nil, nil, err
		}
		times := func(once func() error) func() (float64, error) {
			return func() (float64, error) {
				return c.each(func(n int) error {
					for range n {
						if err := once(); err != nil {
							return err
						}
					}
					return nil
				})
			}
		}
		return []side{
			{"fmmap", times(func() error {
				f, err := core.Open(name)
				if err != nil {
					return err
				}
				return f.Close()
			})},
			{"mmap-go without a lock", times(func() error {
				f, err := os.Open(name)
				if err != nil {
					return err
				}
				m, err := emmap.Map(f, emmap.RDONLY, 0)
				if err != nil {
					return err
				}
				if err := m.Unmap(); err != nil {
					return err
				}
				return f.Close()
			})},
		}, func() { os.Remove(name) }, nil
	}}}
}
