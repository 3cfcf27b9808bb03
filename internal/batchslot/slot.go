// Package batchslot is the door by which package async keeps one future per
// batch of package flush, without a method that users of flush would see.
package batchslot

import (
	"sync"
	"sync/atomic"
)

// Of returns the slot of a *flush.Batch. Package flush sets it.
var Of func(batch any) *Slot

// A Slot holds the one value that goes with a batch. The zero Slot is empty.
type Slot struct {
	making sync.Mutex // serializes the calls of newValue
	value  atomic.Pointer[any]
}

// Get returns the value of s, the same to all callers. The first caller makes it
// by newValue, in its own goroutine, while the others wait. If newValue panics the
// slot stays empty.
func (s *Slot) Get(newValue func() any) any {
	if v := s.value.Load(); v != nil {
		return *v
	}
	s.making.Lock()
	defer s.making.Unlock()
	if v := s.value.Load(); v != nil {
		return *v
	}
	v := newValue()
	s.value.Store(&v)
	return v
}
