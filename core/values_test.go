package core_test

import (
	"encoding/binary"
	"io/fs"
	"math"
	"slices"
	"testing"

	"github.com/fmmap-go/fmmap/core"
)

// otherOrder is an order that package core does not know.
type otherOrder struct{ binary.ByteOrder }

var byteOrders = []binary.ByteOrder{
	binary.LittleEndian, binary.BigEndian, binary.NativeEndian, otherOrder{binary.LittleEndian}, otherOrder{binary.BigEndian},
}

// GetSlice and PutSlice load and store what Get and Put do one by one.
func slicesAsOneByOne[T core.Fixed](t *testing.T, b backend, want ...T) {
	t.Helper()
	for _, order := range byteOrders {
		f := b.open(t, pattern(1000, 1))
		got := make([]T, 20)
		check(t, core.GetSlice(f, 7, order, got))
		var size int64 // of a value in the file
		for size = 1; size < 16; size *= 2 {
			if _, err := core.Get[T](f, 1000-size, order); err == nil {
				break
			}
		}
		for i, v := range got {
			single, err := core.Get[T](f, 7+int64(i)*size, order)
			check(t, err)
			if v != single && (v == v || single == single) { // NaNs are alike
				t.Errorf("%T %d in %v: %v, Get returns %v", v, i, order, v, single)
			}
		}
		err := core.PutSlice(f, 9, order, want)
		if b.store != nil {
			wantError(t, f, "PutSlice", err, b.store)
			continue
		}
		check(t, err)
		for i, v := range want {
			if got, err := core.Get[T](f, 9+int64(i)*size, order); got != v || err != nil {
				t.Errorf("%T %d in %v: %v, %v, stored %v", v, i, order, got, err, v)
			}
		}
		n := int64(len(want)) * size
		if got, old := contents(t, f), pattern(1000, 1); !slices.Equal(got[:9], old[:9]) || !slices.Equal(got[9+n:], old[9+n:]) {
			t.Errorf("%T in %v: bytes around the values have changed", want[0], order)
		}
		back := make([]T, len(want))
		check(t, core.GetSlice(f, 1000-n, order, back)) // the last ones that fit
		check(t, core.PutSlice(f, 1000-n, order, want))
		check(t, core.GetSlice(f, 1000-n, order, back))
		if !slices.Equal(back, want) {
			t.Errorf("%v, stored %v", back, want)
		}
		check(t, f.Close())
	}
}

func TestSlicesOfValues(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		slicesAsOneByOne[uint8](t, b, 1, 2, 255)
		slicesAsOneByOne[int16](t, b, 1, -2, math.MinInt16)
		slicesAsOneByOne[float32](t, b, 1, -0.5, math.MaxFloat32)
		slicesAsOneByOne[uint64](t, b, 1, 1<<40, math.MaxUint64)
		slicesAsOneByOne[core.Int128](t, b, core.Int128{Hi: -1, Lo: 5}, core.Int128{Hi: 1 << 50})
		slicesAsOneByOne[core.Uint128](t, b, core.Uint128{Hi: 1, Lo: 5})
	})
}

func TestSlicesOfValuesRefused(t *testing.T) {
	f := core.NewMemory("m", pattern(64, 1))
	for _, order := range byteOrders {
		for _, off := range []int64{-1, 41, 64, 65, math.MaxInt64, math.MinInt64} {
			dst := []uint64{1, 2, 3}
			wantError(t, f, "GetSlice", core.GetSlice(f, off, order, dst), core.ErrRange)
			wantError(t, f, "PutSlice", core.PutSlice(f, off, order, []uint64{1, 2, 3}), core.ErrRange)
			if !slices.Equal(dst, []uint64{1, 2, 3}) {
				t.Errorf("a refused GetSlice at %d stored into dst", off)
			}
		}
		check(t, core.GetSlice[uint64](f, 64, order, nil))
		check(t, core.PutSlice[uint64](f, 64, order, nil))
		wantError(t, f, "an empty GetSlice", core.GetSlice[uint64](f, 65, order, nil), core.ErrRange)
	}
	if !slices.Equal(contents(t, f), pattern(64, 1)) {
		t.Error("a refused PutSlice stored something")
	}
	wantError(t, f, "GetSlice without an order", core.GetSlice(f, 0, nil, make([]uint8, 1)), fs.ErrInvalid)
	wantError(t, f, "PutSlice without an order", core.PutSlice(f, 0, nil, make([]uint8, 1)), fs.ErrInvalid)
	check(t, f.Close())
	wantError(t, f, "GetSlice", core.GetSlice(f, 0, binary.LittleEndian, make([]uint8, 1)), fs.ErrClosed)
	wantError(t, f, "PutSlice", core.PutSlice(f, 0, binary.LittleEndian, make([]uint8, 1)), fs.ErrClosed)
}
