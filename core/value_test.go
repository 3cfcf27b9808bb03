package core_test

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/core"
)

// roundTrip stores v in both orders, alone and through cursors, and checks what
// the bytes are.
func roundTrip[T core.Fixed](t *testing.T, v T, little []byte) {
	t.Helper()
	f := core.NewMemory("m", make([]byte, 64))
	defer f.Close()
	big := make([]byte, len(little))
	for i, c := range little {
		big[len(big)-1-i] = c
	}
	for _, o := range []struct {
		order binary.ByteOrder
		want  []byte
	}{{binary.LittleEndian, little}, {binary.BigEndian, big}} {
		const off = 7 // no alignment needed
		check(t, core.Put(f, off, o.order, v))
		if got := contents(t, f)[off : off+len(little)]; string(got) != string(o.want) {
			t.Errorf("%T %v in %v is %x, want %x", v, v, o.order, got, o.want)
		}
		if got, err := core.Get[T](f, off, o.order); got != v || err != nil {
			t.Errorf("%T in %v: got %v, %v, want %v", v, o.order, got, err, v)
		}
		w, err := f.NewWriter(off, int64(len(little)))
		check(t, err)
		check(t, core.PutNext(w, o.order, v))
		if err := core.PutNext(w, o.order, v); !errors.Is(err, core.ErrRange) {
			t.Errorf("PutNext behind the end: %v", err)
		}
		r, err := f.NewReader(off, int64(len(little)))
		check(t, err)
		if got, err := core.Next[T](r, o.order); got != v || err != nil {
			t.Errorf("Next %T: %v, %v", v, got, err)
		}
		if _, err := core.Next[T](r, o.order); err != io.EOF {
			t.Errorf("Next at the end: %v", err)
		}
		if len(little) > 1 {
			_, err = r.Seek(1, io.SeekStart)
			check(t, err)
			if _, err := core.Next[T](r, o.order); err != io.ErrUnexpectedEOF || r.Len() != int64(len(little))-1 {
				t.Errorf("Next over the end: %v, %d left", err, r.Len())
			}
		}
		for _, off := range []int64{-1, 64 - int64(len(little)) + 1, 64, math.MaxInt64, math.MinInt64} {
			if _, err := core.Get[T](f, off, o.order); !errors.Is(err, core.ErrRange) {
				t.Errorf("Get at %d: %v", off, err)
			}
			if err := core.Put(f, off, o.order, v); !errors.Is(err, core.ErrRange) {
				t.Errorf("Put at %d: %v", off, err)
			}
		}
	}
}

type named int16

func TestValues(t *testing.T) {
	roundTrip(t, int8(-2), []byte{0xfe})
	roundTrip(t, uint8(0xfe), []byte{0xfe})
	roundTrip(t, int16(-2), []byte{0xfe, 0xff})
	roundTrip(t, named(0x0102), []byte{2, 1})
	roundTrip(t, uint16(0x0102), []byte{2, 1})
	roundTrip(t, int32(-2), []byte{0xfe, 0xff, 0xff, 0xff})
	roundTrip(t, uint32(0x01020304), []byte{4, 3, 2, 1})
	roundTrip(t, int64(math.MinInt64+1), []byte{1, 0, 0, 0, 0, 0, 0, 0x80})
	roundTrip(t, uint64(0x0102030405060708), []byte{8, 7, 6, 5, 4, 3, 2, 1})
	roundTrip(t, int(-2), []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	roundTrip(t, uint(0x01020304), []byte{4, 3, 2, 1, 0, 0, 0, 0})
	roundTrip(t, float32(1.5), []byte{0, 0, 0xc0, 0x3f})
	roundTrip(t, float64(-2), []byte{0, 0, 0, 0, 0, 0, 0, 0xc0})
	roundTrip(t, core.Uint128{Hi: 0x0102030405060708, Lo: 0x090a0b0c0d0e0f10},
		[]byte{16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1})
	roundTrip(t, core.Int128{Hi: -1, Lo: math.MaxUint64 - 1},
		[]byte{0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255})
}

// Types of the caller's own are as good as their underlying types, and odd
// values keep their bits.
func TestValuesOfOtherKinds(t *testing.T) {
	roundTrip(t, time.Duration(-2), []byte{0xfe, 255, 255, 255, 255, 255, 255, 255})
	roundTrip(t, uintptr(0x01020304), []byte{4, 3, 2, 1, 0, 0, 0, 0})
	roundTrip(t, math.Copysign(0, -1), []byte{0, 0, 0, 0, 0, 0, 0, 0x80})
	roundTrip(t, math.Float32frombits(1), []byte{1, 0, 0, 0})
	f := core.NewMemory("m", make([]byte, 16))
	const nan = 0x7ff0_dead_beef_0001 // a signalling one with a payload
	check(t, core.Put(f, 3, binary.LittleEndian, math.Float64frombits(nan)))
	if got, err := core.Get[uint64](f, 3, binary.LittleEndian); got|1<<51 != nan|1<<51 || err != nil {
		t.Errorf("a NaN came back as %x, %v", got, err)
	}
}

// swapped is a byte order that encoding/binary does not have: that of the
// PDP-11.
type swapped struct{ binary.ByteOrder }

func (swapped) Uint32(b []byte) uint32 {
	return uint32(binary.LittleEndian.Uint16(b))<<16 | uint32(binary.LittleEndian.Uint16(b[2:]))
}

func (swapped) PutUint32(b []byte, v uint32) {
	binary.LittleEndian.PutUint16(b, uint16(v>>16))
	binary.LittleEndian.PutUint16(b[2:], uint16(v))
}

func TestByteOrders(t *testing.T) {
	f := core.NewMemory("m", make([]byte, 64))
	check(t, core.Put(f, 1, swapped{binary.LittleEndian}, uint32(0x01020304)))
	if got := contents(t, f)[1:5]; string(got) != "\x02\x01\x04\x03" {
		t.Errorf("the caller's own order stores %x", got)
	}
	if v, err := core.Get[uint32](f, 1, swapped{binary.LittleEndian}); v != 0x01020304 || err != nil {
		t.Errorf("and loads %x, %v", v, err)
	}
	wide := core.Uint128{Hi: 1, Lo: 2}
	check(t, core.Put(f, 8, binary.NativeEndian, wide))
	check(t, f.View(func(b []byte) error { // as the machine itself has a 128-bit integer
		first, second := binary.NativeEndian.Uint64(b[8:]), binary.NativeEndian.Uint64(b[16:])
		if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
			first, second = second, first
		}
		if first != 2 || second != 1 {
			t.Errorf("native: %x, %x", first, second)
		}
		return nil
	}))
	if v, err := core.Get[core.Uint128](f, 8, binary.NativeEndian); v != wide || err != nil {
		t.Errorf("native: %v, %v", v, err)
	}
	before := contents(t, f)
	w, r := writer(t, f, 0, 64), reader(t, f, 0, 64)
	for name, err := range map[string]error{
		"Get": second(core.Get[uint64](f, 0, nil)), "Put": core.Put(f, 0, nil, uint64(1)),
		"Next": second(core.Next[uint16](r, nil)), "PutNext": core.PutNext(w, nil, uint32(1)),
	} {
		if !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s without an order: %v", name, err)
		}
	}
	if string(contents(t, f)) != string(before) || r.Len() != 64 || w.Len() != 64 {
		t.Error("a refused value changed something")
	}
}

// An int is 64 bits in the file. Where it has 32 in memory, one that does not
// fit is an error.
func TestWideInts(t *testing.T) {
	f := core.NewMemory("m", make([]byte, 16))
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		for _, v := range []int64{0, -1, math.MaxInt32, math.MinInt32, math.MaxInt32 + 1, math.MinInt32 - 1, math.MaxInt64, math.MinInt64} {
			check(t, core.Put(f, 1, order, v))
			got, err := core.Get[int](f, 1, order)
			if fits := int64(int(v)) == v; fits && (int64(got) != v || err != nil) || !fits && !errors.Is(err, core.ErrRange) {
				t.Errorf("%d as an int: %d, %v", v, got, err)
			}
			u, err := core.Get[uint](f, 1, order)
			if fits := uint64(uint(v)) == uint64(v); fits && (uint64(u) != uint64(v) || err != nil) || !fits && !errors.Is(err, core.ErrRange) {
				t.Errorf("%d as a uint: %d, %v", v, u, err)
			}
		}
	}
}

// point has padding, and everything that a mapped type may have.
type point struct {
	X    int8
	Y    float64
	Tags [3]uint16
	Word uintptr
}

func TestAtAndSlice(t *testing.T) {
	f, err := core.NewAnonymous(4*KiB, core.Options{})
	check(t, err)
	defer f.Close()
	p := pinned(t, f, 0, 4*KiB)
	at := 3 * int64(reflect.TypeFor[point]().Size())
	a, err := core.At[point](p, at)
	check(t, err)
	a.Y = 2.5
	s, err := core.Slice[point](p, 0, 8)
	check(t, err)
	if s[3].Y != 2.5 || len(s) != 8 {
		t.Errorf("the slice shows %+v", s[3])
	}
	if s, err := core.Slice[uint64](p, 4*KiB, 0); len(s) != 0 || err != nil {
		t.Errorf("none at the end: %v, %v", s, err)
	}
	if s, err := core.Slice[struct{}](p, 5, 1000); len(s) != 1000 || err != nil {
		t.Errorf("a thousand nothings: %d, %v", len(s), err)
	}
	for name, c := range map[string]struct {
		err  error
		want error
	}{
		"misaligned":       {second(core.At[uint64](p, 1)), fs.ErrInvalid},
		"behind the end":   {second(core.At[uint64](p, 4*KiB-7)), core.ErrRange},
		"at the end":       {second(core.At[uint64](p, 4*KiB)), core.ErrRange},
		"negative":         {second(core.At[uint64](p, -8)), core.ErrRange},
		"too many":         {second(core.Slice[uint64](p, 0, 513)), core.ErrRange},
		"overflow":         {second(core.Slice[uint64](p, 0, math.MaxInt)), core.ErrRange},
		"negative count":   {second(core.Slice[uint64](p, 0, -1)), core.ErrRange},
		"nothings outside": {second(core.Slice[struct{}](p, 5000, 1)), core.ErrRange},
		"pointer":          {second(core.At[*int](p, 0)), fs.ErrInvalid},
		"string":           {second(core.At[string](p, 0)), fs.ErrInvalid},
		"slice":            {second(core.At[struct{ A [2][]int }](p, 0)), fs.ErrInvalid},
		"interface":        {second(core.At[any](p, 0)), fs.ErrInvalid},
		"map":              {second(core.At[map[int]int](p, 0)), fs.ErrInvalid},
		"channel":          {second(core.At[chan int](p, 0)), fs.ErrInvalid},
		"function":         {second(core.At[func()](p, 0)), fs.ErrInvalid},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
	p.Release()
	if _, err := core.At[uint64](p, 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Release: %v", err)
	}
}
