package sys

import (
	"runtime/debug"
	"sync/atomic"
	"unsafe"
)

// touchSink keeps the loads of touch from being optimised away.
var touchSink atomic.Uint32

// touch makes the processor bring in every page of [off, off+n), which is
// page-aligned at its start, and returns [ErrFault] if one is not available.
// With write, it adds zero to a word of each page atomically: that needs the
// page writable and loses no store that another goroutine makes meanwhile.
//
// Unlike a populating system call it keeps the goroutine's P while the disk
// works, so what can be read ahead should have been.
func (m *Mapping) touch(off, n int64, write bool) (err error) {
	if n <= 0 {
		return nil
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		// Nothing but the mapping is touched, so a fault at an address is its.
		switch r := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }:
			err = ErrFault
		default:
			panic(r)
		}
	}()
	step := pageSize()
	var sum uint32
	for at := off; at < off+n; at += step {
		// The base is page-aligned and so is every at: the word lies within one
		// mapped page.
		word := (*uint32)(unsafe.Add(m.base, at))
		if write {
			atomic.AddUint32(word, 0)
		} else {
			sum += atomic.LoadUint32(word)
		}
	}
	touchSink.Store(sum)
	return nil
}
