package sys

import (
	"runtime/debug"
	"sync/atomic"
	"unsafe"
)

// touchSink keeps the loads of touch from being optimised away.
var touchSink atomic.Uint32

// touch loads from every page of [off, off+n), which is page-aligned at its
// start and within the mapping, so that each is brought in. It returns
// [ErrFault] if one cannot be. With write it adds zero to a word of each page
// atomically: that makes the page writable, and loses no store that another
// goroutine makes meanwhile.
//
// Unlike a populating system call it holds the goroutine's P during a disk read,
// so callers start reading ahead first where they can.
func (m *Mapping) touch(off, n int64, write bool) (err error) {
	if n <= 0 {
		return nil
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		// Only the mapping is touched, so a fault at an address is one of it.
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
		// In bounds: base and at are page-aligned and at is in the mapping, so
		// the word lies within one mapped page. Alive: the mapping is not
		// unmapped during a call of sys.
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
