package main

import (
	"encoding/binary"

	"github.com/fmmap-go/fmmap/core"
)

// values: typed values of a file in memory, many per call.
func values() []workload {
	return []workload{
		{name: "values/get", unit: "ns", aim: "≤ 4 ns", open: openValues(false)},
		{name: "values/put", unit: "ns", aim: "≤ 4 ns", open: openValues(true)},
	}
}

// openValues loads or stores uint64s in big-endian order, so that the bytes of
// each have to be reversed, and returns the time per value.
func openValues(put bool) func(c config) ([]side, func(), error) {
	return func(c config) ([]side, func(), error) {
		name, err := c.written("values", cached, cached)
		if err != nil {
			return nil, nil, err
		}
		f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Populate: true})
		if err != nil {
			return nil, nil, err
		}
		plain, vals := make([]byte, cached), make([]uint64, cached/8)
		do := func() error { return core.GetSlice(f, 0, binary.BigEndian, vals) }
		base := func() {
			for i := range vals {
				vals[i] = binary.BigEndian.Uint64(plain[8*i:])
			}
		}
		if put {
			do = func() error { return core.PutSlice(f, 0, binary.BigEndian, vals) }
			base = func() {
				for i, v := range vals {
					binary.BigEndian.PutUint64(plain[8*i:], v)
				}
			}
		}
		per := func(v float64, err error) (float64, error) { return v / (cached / 8), err }
		return []side{
			{"fmmap", func() (float64, error) {
				return per(c.each(func(n int) error {
					for range n {
						if err := do(); err != nil {
							return err
						}
					}
					return nil
				}))
			}},
			{"plain slice", func() (float64, error) {
				return per(c.each(func(n int) error {
					for range n {
						base()
					}
					return nil
				}))
			}},
		}, func() { _ = f.Close() }, nil
	}
}
