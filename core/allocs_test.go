package core_test

import (
	"encoding/binary"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/fmmap-go/fmmap/core"
)

// What is called once for every few bytes must leave nothing to the garbage collector.
func TestHotPathsDoNotAllocate(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		f := b.open(t, pattern(64*KiB, 1))
		p := pinned(t, f, 0, 80)
		aligned := int64(-uintptr(unsafe.Pointer(&p.Bytes()[0])) & 7)
		r := reader(t, f, 0, f.Len())
		buf := make([]byte, 100)
		ints := make([]uint64, 10)
		if runtime.GOOS == "windows" && strings.HasSuffix(t.Name(), "by_call") {
			t.Skip("the system call that brings pages in allocates here")
		}
		calls := map[string]func() error{
			"View":        func() error { return f.View(func([]byte) error { return nil }) },
			"Pin.Do":      func() error { return p.Do(func([]byte) error { return nil }) },
			"ReadAt":      func() error { return second(f.ReadAt(buf, 5)) },
			"Get":         func() error { return second(core.Get[uint64](f, 3, binary.LittleEndian)) },
			"Get 128":     func() error { return second(core.Get[core.Uint128](f, 3, binary.BigEndian)) },
			"Get native":  func() error { return second(core.Get[float32](f, 3, binary.NativeEndian)) },
			"GetSlice":    func() error { return core.GetSlice(f, 3, binary.BigEndian, ints) },
			"Next":        func() error { r.Seek(0, 0); return second(core.Next[int16](r, binary.LittleEndian)) },
			"ReadByte":    func() error { r.Seek(0, 0); return second(r.ReadByte()) },
			"Reader.Read": func() error { r.Seek(0, 0); return second(r.Read(buf)) },
			"At":          func() error { return second(core.At[uint64](p, aligned)) },
			"Slice":       func() error { return second(core.Slice[uint32](p, aligned, 16)) },
		}
		if b.store == nil {
			w := writer(t, f, 0, f.Len())
			calls["Update"] = func() error { return f.Update(func([]byte) error { return nil }) }
			calls["WriteAt"] = func() error { return second(f.WriteAt(buf, 5)) }
			calls["Zero"] = func() error { return f.Zero(10, 10) }
			calls["Put"] = func() error { return core.Put(f, 3, binary.BigEndian, uint64(1)) }
			calls["PutSlice"] = func() error { return core.PutSlice(f, 3, binary.BigEndian, ints) }
			calls["Put 128"] = func() error { return core.Put(f, 3, binary.LittleEndian, core.Int128{}) }
			calls["PutNext"] = func() error { w.Seek(0, 0); return core.PutNext(w, binary.LittleEndian, 1.5) }
			calls["WriteByte"] = func() error { w.Seek(0, 0); return w.WriteByte(1) }
			calls["WriteString"] = func() error { w.Seek(0, 0); return second(w.WriteString("string")) }
		}
		for name, call := range calls {
			check(t, call())
			if n := testing.AllocsPerRun(100, func() { _ = call() }); n >= 1 { // the pool of tokens may be emptied
				t.Errorf("%s allocates %v times", name, n)
			}
		}
	})
}
