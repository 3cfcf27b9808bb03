package core

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"reflect"
	"unsafe"

	"github.com/fmmap-go/fmmap/internal/bounds"
)

// Fixed is every type that [Get], [Put], [GetSlice], [PutSlice], [Next] and
// [PutNext] know a fixed layout for.
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
// To load many values, use [GetSlice], which costs a small part of as many calls.
//
// The load is not atomic; use [At] with a type of sync/atomic for that. A nil
// order returns [fs.ErrInvalid].
func Get[T Fixed](f *File, off int64, order binary.ByteOrder) (v T, err error) {
	u, err := f.begin(false)
	if err != nil {
		return v, f.fail("get", err)
	}
	defer f.end("get", &u, &err)
	g, n := u.g, width[T]()
	if !bounds.Within(off, n, int64(len(g.data))) || !g.seen.whole(off, n) {
		return getUnseen[T](f, g, off, order)
	}
	b := g.data[off : off+n]
	if unsafe.Sizeof(v) == 8 && order != nil { // as decode does it, without the call
		u := order.Uint64(b)
		return *(*T)(unsafe.Pointer(&u)), nil
	}
	if v, err = decode[T](b, order); err != nil {
		err = f.fail("get", err)
	}
	return v, err
}

// getUnseen is Get where that loads by a system call, or may, or is out of range.
func getUnseen[T Fixed](f *File, g *generation, off int64, order binary.ByteOrder) (v T, err error) {
	n := width[T]()
	if !bounds.Within(off, n, int64(len(g.data))) {
		return v, f.fail("get", ErrRange)
	}
	b := scratch.Get().(*[4 << 10]byte)
	defer scratch.Put(b)
	if err := f.load("get", g, b[:n], off); err != nil {
		return v, err
	}
	v, err = decode[T](b[:n], order)
	return v, f.fail("get", err)
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
	if f.inPlace(off, n) || !f.storesByCall() {
		return f.fail("put", encode(u.g.data[off:off+n], order, v))
	}
	return putCold(f, u.g, off, order, v)
}

// putCold is Put where that stores by a system call, or may.
func putCold[T Fixed](f *File, g *generation, off int64, order binary.ByteOrder, v T) error {
	n := width[T]()
	b := scratch.Get().(*[4 << 10]byte)
	defer scratch.Put(b)
	if err := encode(b[:n], order, v); err != nil {
		return f.fail("put", err)
	}
	_, err := f.store("put", g, b[:n], off)
	return err
}

// GetSlice loads len(dst) values of the given byte order, one after the other,
// from the window at off into dst. It is [Get] for many values at the cost of
// one call: values of up to 64 bits in one of the orders of encoding/binary are
// copied, and turned round if the order is not the machine's. For records of
// several types, use encoding/binary on the bytes that [File.View] passes.
//
// If the values do not all lie within the window, it returns [ErrRange] and
// leaves dst alone. After any other error the contents of dst are undefined.
func GetSlice[T Fixed](f *File, off int64, order binary.ByteOrder, dst []T) (err error) {
	u, err := f.begin(false)
	if err != nil {
		return f.fail("get", err)
	}
	defer f.end("get", &u, &err)
	b, err := values[T](u.g.data, off, len(dst), order)
	if err != nil || len(dst) == 0 {
		return f.fail("get", err)
	}
	native, _ := knownOrder[T](order)
	switch {
	case native:
		// In bounds: the values occupy as many bytes in both. Alive: as dst.
		return f.load("get", u.g, unsafe.Slice((*byte)(unsafe.Pointer(&dst[0])), len(b)), off)
	case u.g.seen.whole(off, int64(len(b))) || f.loadsBy() == byMap:
		return f.fail("get", decodeAll(dst, b, order))
	}
	return getSliceUnseen(f, u.g, off, order, dst)
}

// getSliceUnseen is GetSlice where that loads by a system call, or may, values
// that are not stored as they are in memory.
func getSliceUnseen[T Fixed](f *File, g *generation, off int64, order binary.ByteOrder, dst []T) error {
	b := scratch.Get().(*[4 << 10]byte)
	defer scratch.Put(b)
	width := int(width[T]())
	for len(dst) > 0 {
		n := min(len(dst), len(b)/width)
		if err := f.load("get", g, b[:n*width], off); err != nil {
			return err
		}
		if err := decodeAll(dst[:n], b[:n*width], order); err != nil {
			return f.fail("get", err)
		}
		dst, off = dst[n:], off+int64(n*width)
	}
	return nil
}

// decodeAll loads the values of dst, of which there is one at least, from b, which
// holds as many bytes as they occupy.
func decodeAll[T Fixed](dst []T, b []byte, order binary.ByteOrder) (err error) {
	n := int(width[T]())
	if native, known := knownOrder[T](order); known && !native {
		// In bounds: the values occupy as many bytes in both. Alive: as dst.
		reverse(unsafe.Slice((*byte)(unsafe.Pointer(&dst[0])), len(b)), b, n)
		return nil
	}
	for i := range dst {
		if dst[i], err = decode[T](b[i*n:i*n+n], order); err != nil {
			return err
		}
	}
	return nil
}

// PutSlice stores the values of src in the given byte order, one after the
// other, into the window at off; see [GetSlice]. It returns [ErrRange], and
// stores nothing, if they do not all fit into the window. After a [*FaultError]
// some of them may have been stored.
func PutSlice[T Fixed](f *File, off int64, order binary.ByteOrder, src []T) (err error) {
	u, err := f.begin(true)
	if err != nil {
		return f.fail("put", err)
	}
	defer f.end("put", &u, &err)
	b, err := values[T](u.g.data, off, len(src), order)
	if err != nil || len(src) == 0 {
		return f.fail("put", err)
	}
	native, _ := knownOrder[T](order)
	switch {
	case native:
		// In bounds: the values occupy as many bytes in both. Alive: as src.
		_, err := f.store("put", u.g, unsafe.Slice((*byte)(unsafe.Pointer(&src[0])), len(b)), off)
		return err
	case f.inPlace(off, int64(len(b))) || !f.storesByCall():
		return f.fail("put", encodeAll(b, order, src))
	}
	return putSliceCold(f, u.g, off, order, src)
}

// putSliceCold is PutSlice where that stores by a system call, or may, values
// that it cannot take as they are.
func putSliceCold[T Fixed](f *File, g *generation, off int64, order binary.ByteOrder, src []T) error {
	b := scratch.Get().(*[4 << 10]byte)
	defer scratch.Put(b)
	width := int(width[T]())
	for len(src) > 0 {
		n := min(len(src), len(b)/width)
		if err := encodeAll(b[:n*width], order, src[:n]); err != nil {
			return f.fail("put", err)
		}
		if _, err := f.store("put", g, b[:n*width], off); err != nil {
			return err
		}
		src, off = src[n:], off+int64(n*width)
	}
	return nil
}

// encodeAll stores the values of src, of which there is one at least, into b,
// which holds as many bytes as they occupy.
func encodeAll[T Fixed](b []byte, order binary.ByteOrder, src []T) error {
	n := int(width[T]())
	if native, known := knownOrder[T](order); known && !native {
		// In bounds: the values occupy as many bytes in both. Alive: as src.
		reverse(b, unsafe.Slice((*byte)(unsafe.Pointer(&src[0])), len(b)), n)
		return nil
	}
	for i, v := range src {
		if err := encode(b[i*n:i*n+n], order, v); err != nil {
			return err
		}
	}
	return nil
}

// values returns the bytes of n values of T in the window at off.
func values[T Fixed](window []byte, off int64, n int, order binary.ByteOrder) ([]byte, error) {
	size := width[T]()
	switch {
	case int64(n) > int64(len(window))/size, !bounds.Within(off, int64(n)*size, int64(len(window))):
		return nil, ErrRange
	case order == nil:
		return nil, fs.ErrInvalid
	}
	return window[off : off+int64(n)*size], nil
}

// knownOrder reports whether a T is stored in the given order as it is in
// memory (native), and whether it is either that or with its bytes reversed.
func knownOrder[T Fixed](order binary.ByteOrder) (native, known bool) {
	size := unsafe.Sizeof(*new(T))
	switch order {
	case binary.LittleEndian, binary.BigEndian, binary.NativeEndian:
	default:
		return false, false
	}
	if size > 8 || widened[T]() {
		return false, false
	}
	return size == 1 || bigEndian(order) == bigEndian(binary.NativeEndian), true
}

// reverse copies values of the given size from src to dst, which are as long,
// with the bytes of each value in reverse order.
func reverse(dst, src []byte, size int) {
	switch size {
	case 2:
		for len(src) >= 2 && len(dst) >= 2 {
			binary.BigEndian.PutUint16(dst, binary.LittleEndian.Uint16(src))
			dst, src = dst[2:], src[2:]
		}
	case 4:
		for len(src) >= 4 && len(dst) >= 4 {
			binary.BigEndian.PutUint32(dst, binary.LittleEndian.Uint32(src))
			dst, src = dst[4:], src[4:]
		}
	case 8:
		for len(src) >= 8 && len(dst) >= 8 {
			binary.BigEndian.PutUint64(dst, binary.LittleEndian.Uint64(src))
			dst, src = dst[8:], src[8:]
		}
	}
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
