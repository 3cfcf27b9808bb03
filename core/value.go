package core

import (
	"encoding/binary"
	"reflect"
	"strconv"
	"unsafe"
)

// Fixed are the types of values that have one length in a file: integers, floats and 128-bit
// integers. Values of int and uint take 64 bits on every machine.
type Fixed interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~int |
		~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uint |
		~float32 | ~float64 | Uint128 | Int128
}

// Uint128 is an unsigned integer of 128 bits: Hi × 2⁶⁴ + Lo. In a file its bytes are
// those of one 16-byte integer in the order asked for.
type Uint128 struct{ Hi, Lo uint64 }

// Int128 is a two's-complement integer of 128 bits: Hi × 2⁶⁴ + Lo, with the sign in Hi.
type Int128 struct {
	Hi int64
	Lo uint64
}

// Get loads the value at off of the window, which needs no alignment. It answers [ErrRange] when the
// value does not lie within the window, and never allocates.
func Get[T Fixed](f *File, off int64, order binary.ByteOrder) (v T, err error) {
	a, err := f.begin(false)
	if err != nil {
		return v, f.fail("get", err)
	}
	defer f.end("get", a, &err)
	n := width[T]()
	if !within(off, n, len(a.g.data)) {
		return v, f.fail("get", ErrRange)
	}
	decode(a.g.data[off:off+n], order, &v)
	return v, nil
}

// Put stores a value at off of the window; see [Get]. The store is not atomic: for values that goroutines
// or processes share, use [At] with a type of sync/atomic.
func Put[T Fixed](f *File, off int64, order binary.ByteOrder, v T) (err error) {
	a, err := f.begin(true)
	if err != nil {
		return f.fail("put", err)
	}
	defer f.end("put", a, &err)
	n := width[T]()
	if !within(off, n, len(a.g.data)) {
		return f.fail("put", ErrRange)
	}
	encode(a.g.data[off:off+n], order, v)
	return nil
}

// native reports whether T is an int or a uint on a machine where they have 32 bits.
func native[T Fixed]() bool {
	if strconv.IntSize == 64 {
		return false
	}
	k := reflect.TypeFor[T]().Kind()
	return k == reflect.Int || k == reflect.Uint
}

// width is the length of a T in a file.
func width[T Fixed]() int64 {
	var v T
	if native[T]() {
		return 8
	}
	return int64(unsafe.Sizeof(v))
}

// bits is v seen as an integer of its size: in bounds because the size is what selects the
// branch, and alive because v is.
func bits[U uint8 | uint16 | uint32 | uint64 | Uint128, T Fixed](v *T) *U {
	return (*U)(unsafe.Pointer(v))
}

func decode[T Fixed](b []byte, order binary.ByteOrder, v *T) {
	if native[T]() {
		*bits[uint32](v) = uint32(order.Uint64(b))
		return
	}
	switch unsafe.Sizeof(*v) {
	case 1:
		*bits[uint8](v) = b[0]
	case 2:
		*bits[uint16](v) = order.Uint16(b)
	case 4:
		*bits[uint32](v) = order.Uint32(b)
	case 8:
		*bits[uint64](v) = order.Uint64(b)
	default:
		hi, lo := halves(b, order)
		*bits[Uint128](v) = Uint128{order.Uint64(hi), order.Uint64(lo)}
	}
}

func encode[T Fixed](b []byte, order binary.ByteOrder, v T) {
	if native[T]() {
		word := uint64(*bits[uint32](&v))
		if reflect.TypeFor[T]().Kind() == reflect.Int {
			word = uint64(int32(word))
		}
		order.PutUint64(b, word)
		return
	}
	switch unsafe.Sizeof(v) {
	case 1:
		b[0] = *bits[uint8](&v)
	case 2:
		order.PutUint16(b, *bits[uint16](&v))
	case 4:
		order.PutUint32(b, *bits[uint32](&v))
	case 8:
		order.PutUint64(b, *bits[uint64](&v))
	default:
		hi, lo := halves(b, order)
		u := bits[Uint128](&v)
		order.PutUint64(hi, u.Hi)
		order.PutUint64(lo, u.Lo)
	}
}

// halves tells which eight of sixteen bytes are the more significant ones.
func halves(b []byte, order binary.ByteOrder) (hi, lo []byte) {
	if order.Uint16([]byte{1, 0}) == 1 {
		return b[8:16], b[:8]
	}
	return b[:8], b[8:16]
}
