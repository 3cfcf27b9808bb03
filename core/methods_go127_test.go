//go:build go1.27

package core_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/fmmap-go/fmmap/core"
)

var little, big = binary.LittleEndian, binary.BigEndian

// The methods do what their functions do, errors included.
func TestMethodsWithTypeParameters(t *testing.T) {
	f := core.NewMemory("values", make([]byte, 64))
	defer f.Close()
	check(t, f.Put(3, big, uint32(0x01020304)))
	if v, err := f.Get[uint32](3, big); v != 0x01020304 || err != nil {
		t.Errorf("Get: %#x, %v", v, err)
	}
	if v, err := core.Get[uint32](f, 3, little); v != 0x04030201 || err != nil {
		t.Errorf("as the function loads it: %#x, %v", v, err)
	}
	check(t, f.PutSlice(8, little, []int16{1, -2, 3}))
	got := make([]int16, 3)
	check(t, f.GetSlice(8, little, got))
	if !slices.Equal(got, []int16{1, -2, 3}) {
		t.Errorf("GetSlice: %v", got)
	}
	_, err := f.Get[uint64](60, little)
	wantError(t, f, "Get past the end", err, core.ErrRange)
	wantError(t, f, "Put past the end", f.Put(60, little, uint64(1)), core.ErrRange)

	w, err := f.NewWriter(16, 8)
	check(t, err)
	check(t, w.PutNext(big, int32(-7)))
	check(t, w.PutNext(big, float32(0.5)))
	wantError(t, f, "PutNext past the end", w.PutNext(big, byte(1)), core.ErrRange)
	r, err := f.NewReader(16, 8)
	check(t, err)
	if v, err := r.Next[int32](big); v != -7 || err != nil {
		t.Errorf("Next: %v, %v", v, err)
	}
	if v, err := r.Next[float32](big); v != 0.5 || err != nil {
		t.Errorf("Next: %v, %v", v, err)
	}
	if _, err := r.Next[byte](big); !errors.Is(err, io.EOF) {
		t.Errorf("Next at the end: %v", err)
	}

	p, err := f.Pin(32, 8)
	check(t, err)
	n, err := p.At[uint64](0)
	check(t, err)
	atomic.AddUint64(n, 5)
	p.Release()
	if v, err := f.Get[uint64](32, binary.NativeEndian); v != 5 || err != nil {
		t.Errorf("what At has stored: %v, %v", v, err)
	}
	_, err = p.At[uint64](0)
	if err == nil {
		t.Error("At of a released pin succeeded")
	}
}

// The methods cost no allocation more than the functions.
func TestMethodsDoNotAllocate(t *testing.T) {
	f := core.NewMemory("values", make([]byte, 64))
	defer f.Close()
	method := testing.AllocsPerRun(100, func() { _, _ = f.Get[uint64](0, little) })
	function := testing.AllocsPerRun(100, func() { _, _ = core.Get[uint64](f, 0, little) })
	if method != function {
		t.Errorf("%v allocations, and %v of the function", method, function)
	}
}

// With Go 1.27 the values of a file are its methods.
func ExampleFile_Get() {
	f := core.NewMemory("header", make([]byte, 16))
	defer f.Close()
	if err := f.Put(4, binary.LittleEndian, uint32(1848)); err != nil {
		log.Fatal(err)
	}
	fmt.Println(f.Get[uint32](4, binary.LittleEndian))
	// Output: 1848 <nil>
}
