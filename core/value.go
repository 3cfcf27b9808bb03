package core

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"reflect"
	"unsafe"

	"github.com/fmmap-go/fmmap/internal/bounds"
)

// Fixed is every type that [Get], [Put], [Next] and [PutNext] know a fixed
// layout for.
//
// A value occupies its own size, except int, uint and uintptr: they are stored
// as 64 bits, so that a file means the same to programs of either word size.
// Offsets need no alignment.
type Fixed interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~int |
		~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uint | ~uintptr |
		~float32 | ~float64 | Uint128 | Int128
}

// Uint128 is an unsigned integer of 128 bits: Hi·2⁶⁴ + Lo. It is stored as any
// other integer of its byte order: in 16 bytes, the least significant one first
// in little-endian order (so Lo comes first), and last in big-endian order.
type Uint128 struct{ Hi, Lo uint64 }

// Int128 is a signed integer of 128 bits in two's complement: Hi·2⁶⁴ + Lo. It
// is stored as [Uint128] is.
type Int128 struct {
	Hi int64
	Lo uint64
}

// errNarrow is the error of a stored int, uint or uintptr that needs more bits
// than this platform's has.
var errNarrow = fmt.Errorf("the stored value does not fit into the word of this platform: %w", ErrRange)

// Get loads a value of the given byte order from the window at off. It returns
// [ErrRange] if the value does not lie within the window, or not within the
// type: an int of 64 bits on a 32-bit platform.
//
// The load is not atomic; use [At] with a type of sync/atomic for that. A nil
// order returns [fs.ErrInvalid].
func Get[T Fixed](f *File, off int64, order binary.ByteOrder) (v T, err error) {
	u, err := f.begin(false)
	if err != nil {
		return v, f.fail("get", err)
	}
	defer f.end("get", &u, &err)
	n := width[T]()
	if !bounds.Within(off, n, int64(len(u.g.data))) {
		return v, f.fail("get", ErrRange)
	}
	b := u.g.data[off : off+n]
	if unsafe.Sizeof(v) == 8 && order != nil { // as decode does it, without the call
		u := order.Uint64(b)
		return *(*T)(unsafe.Pointer(&u)), nil
	}
	if v, err = decode[T](b, order); err != nil {
		err = f.fail("get", err)
	}
	return v, err
}

// Put stores a value in the given byte order into the window at off. It returns
// [ErrRange], and stores nothing, if the value does not fit into the window.
// After a [*FaultError] a part of it may have been stored.
func Put[T Fixed](f *File, off int64, order binary.ByteOrder, v T) (err error) {
	u, err := f.begin(true)
	if err != nil {
		return f.fail("put", err)
	}
	defer f.end("put", &u, &err)
	n := width[T]()
	if !bounds.Within(off, n, int64(len(u.g.data))) {
		return f.fail("put", ErrRange)
	}
	return f.fail("put", encode(u.g.data[off:off+n], order, v))
}

// width is the number of bytes that a value occupies.
func width[T Fixed]() int64 {
	var v T
	if widened[T]() {
		return 8
	}
	return int64(unsafe.Sizeof(v))
}

// widened reports whether a T is smaller in memory than it is in the file. On
// 64-bit platforms it is a constant; elsewhere nothing but its kind tells an
// int from an int32.
func widened[T Fixed]() bool {
	var v T
	if unsafe.Sizeof(uintptr(0)) == 8 || unsafe.Sizeof(v) != 4 {
		return false
	}
	switch reflect.TypeFor[T]().Kind() {
	case reflect.Int, reflect.Uint, reflect.Uintptr:
		return true
	}
	return false
}

// decode loads a T from b, which holds as many bytes as its width.
//
// The switch is over constants, so that each shape of T keeps one case of it.
// The conversions reinterpret a local variable of the size of T in that case.
func decode[T Fixed](b []byte, order binary.ByteOrder) (v T, err error) {
	if order == nil {
		return v, fs.ErrInvalid
	}
	switch unsafe.Sizeof(v) {
	case 1:
		return *(*T)(unsafe.Pointer(&b[0])), nil
	case 2:
		u := order.Uint16(b)
		return *(*T)(unsafe.Pointer(&u)), nil
	case 4:
		if widened[T]() {
			return narrow[T](order.Uint64(b))
		}
		u := order.Uint32(b)
		return *(*T)(unsafe.Pointer(&u)), nil
	case 8:
		u := order.Uint64(b)
		return *(*T)(unsafe.Pointer(&u)), nil
	}
	first, second := order.Uint64(b[:8]), order.Uint64(b[8:])
	u := Uint128{Hi: second, Lo: first}
	if bigEndian(order) {
		u = Uint128{Hi: first, Lo: second}
	}
	return *(*T)(unsafe.Pointer(&u)), nil
}

// encode stores v into b, which holds as many bytes as its width.
func encode[T Fixed](b []byte, order binary.ByteOrder, v T) error {
	if order == nil {
		return fs.ErrInvalid
	}
	p := unsafe.Pointer(&v) // read as an integer, or two, of the same size
	switch unsafe.Sizeof(v) {
	case 1:
		b[0] = *(*uint8)(p)
	case 2:
		order.PutUint16(b, *(*uint16)(p))
	case 4:
		if widened[T]() {
			order.PutUint64(b, widen(v))
			return nil
		}
		order.PutUint32(b, *(*uint32)(p))
	case 8:
		order.PutUint64(b, *(*uint64)(p))
	default:
		u := *(*Uint128)(p)
		if bigEndian(order) {
			u.Hi, u.Lo = u.Lo, u.Hi
		}
		order.PutUint64(b[:8], u.Lo)
		order.PutUint64(b[8:], u.Hi)
	}
	return nil
}

// narrow makes 64 stored bits an int, uint or uintptr of 32.
func narrow[T Fixed](u uint64) (v T, err error) {
	w := uint32(u)
	if reflect.TypeFor[T]().Kind() == reflect.Int {
		if int64(u) != int64(int32(w)) {
			return v, errNarrow
		}
	} else if u != uint64(w) {
		return v, errNarrow
	}
	return *(*T)(unsafe.Pointer(&w)), nil // both have 32 bits
}

// widen makes an int, uint or uintptr of 32 bits the 64 that are stored.
func widen[T Fixed](v T) uint64 {
	w := *(*uint32)(unsafe.Pointer(&v)) // both have 32 bits
	if reflect.TypeFor[T]().Kind() == reflect.Int {
		return uint64(int64(int32(w)))
	}
	return uint64(w)
}

// bigEndian reports whether the order puts the more significant bytes first.
func bigEndian(order binary.ByteOrder) bool { return order.Uint16(oneBigEndian[:]) == 1 }

// oneBigEndian is 1 in big-endian order; it is never written. A local array
// would be allocated for the call through the interface.
var oneBigEndian = [2]byte{0, 1}
