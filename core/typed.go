package core

import (
	"fmt"
	"io/fs"
	"reflect"
	"sync"
	"unsafe"

	"github.com/fmmap-go/fmmap/internal/bounds"
)

var (
	errPointers = fmt.Errorf("the type holds Go pointers: %w", fs.ErrInvalid)
	errAlign    = fmt.Errorf("the address is not aligned for the type: %w", fs.ErrInvalid)
)

// At returns the T that lies off bytes into the pin, in place: what is stored
// through the pointer is stored in the map. It is valid until the pin is
// released. The layout is the machine's own, byte order and the size of int
// included; [Get] is for formats that other machines read.
//
// T must hold no Go pointers (no strings, slices, maps, channels, functions or
// interfaces): they would mean nothing to others, and the garbage collector
// does not look for them here. The address must be aligned for T. Both are
// [fs.ErrInvalid]. A T that does not lie within the pin is [ErrRange], and a
// pin that has been released [fs.ErrClosed].
//
// Types of sync/atomic work, also between processes that map the same file.
// Access is guarded within [Pin.Do] alone, as with [Pin.Bytes], and a store
// through a mapping that is read-only is a fault.
func At[T any](p *Pin, off int64) (*T, error) {
	s, err := inPlace[T](p, off, 1)
	if err != nil {
		return nil, p.file.fail("at", err)
	}
	return &s[0], nil
}

// Slice returns n values of T that lie off bytes into the pin, in place; see
// [At]. The slice has no spare capacity. ([Pin.Slice] makes a pin of a part.)
func Slice[T any](p *Pin, off int64, n int) ([]T, error) {
	s, err := inPlace[T](p, off, n)
	return s, p.file.fail("slice", err)
}

func inPlace[T any](p *Pin, off int64, n int) ([]T, error) {
	var v T
	size := int64(unsafe.Sizeof(v))
	switch {
	case p.released.Load():
		return nil, fs.ErrClosed
	case holdsPointers(reflect.TypeFor[T]()):
		return nil, fmt.Errorf("%v: %w", reflect.TypeFor[T](), errPointers)
	case n < 0, size > 0 && int64(n) > p.Len()/size, !bounds.Within(off, int64(n)*size, int64(len(p.data))):
		return nil, ErrRange
	case n == 0, size == 0:
		return make([]T, n), nil // of no bytes: no address to give
	}
	at := unsafe.Pointer(&p.data[off])
	if uintptr(at)%unsafe.Alignof(v) != 0 {
		return nil, fmt.Errorf("%v: %w", reflect.TypeFor[T](), errAlign)
	}
	// In bounds: n*size bytes from off on lie within the pin. Alive: until its
	// release, as documented.
	return unsafe.Slice((*T)(at), n), nil
}

// pointers caches the results of holdsPointers, which needs reflection.
var pointers sync.Map // reflect.Type to bool

func holdsPointers(t reflect.Type) bool {
	if known, ok := pointers.Load(t); ok {
		return known.(bool)
	}
	found := findPointers(t)
	pointers.Store(t, found)
	return found
}

func findPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return t.Len() > 0 && findPointers(t.Elem())
	case reflect.Struct:
		for field := range t.Fields() {
			if findPointers(field.Type) {
				return true
			}
		}
		return false
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice, reflect.String, reflect.UnsafePointer:
		return true
	}
	return false
}
