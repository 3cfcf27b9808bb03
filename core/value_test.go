package core_test

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"reflect"
	"testing"

	"github.com/fmmap-go/fmmap/core"
)

// roundTrip stores v in both orders, alone and through cursors, and checks what the bytes are.
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
