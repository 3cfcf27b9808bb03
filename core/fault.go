package core

import (
	"errors"
	"runtime"
	"runtime/debug"

	"github.com/fmmap-go/fmmap/internal/stripe"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// A guard is one guarded use of a region: until end, faults of this goroutine
// panic instead of killing the process. The use is either a short operation,
// which end ends, or one through a pin, which keeps the region mapped itself.
type guard struct {
	file    *File
	region  *region
	epoch   *epoch          // of the operation; nil through a pin
	running *stripe.Counter // that counts the operation
	panics  bool            // the goroutine's earlier PanicOnFault
}

// newGuard begins a use through a pin. It must be followed by a deferred end.
func newGuard(f *File, r *region) guard {
	return guard{file: f, region: r, panics: debug.SetPanicOnFault(true)}
}

// begin begins a short operation. When it succeeds, it must be followed by a
// deferred end of the guard.
func (f *File) begin(store bool) (*generation, guard, error) {
	g, running, err := f.enter()
	if err != nil {
		return nil, guard{}, err
	}
	if store && g.readOnly {
		f.leave(g.epoch, running)
		return nil, guard{}, ErrReadOnly
	}
	return g, guard{f, g.region, g.epoch, running, debug.SetPanicOnFault(true)}, nil
}

// end ends the use. A fault on the region's own bytes becomes the error *err;
// any other panic goes on. It must be deferred directly, or it cannot recover.
func (g *guard) end(op string, err *error) {
	v := recover()
	debug.SetPanicOnFault(g.panics)
	var fault error
	if v != nil {
		fault = g.region.asFault(v) // before leave, which may unmap the region
	}
	if g.epoch != nil {
		g.file.leave(g.epoch, g.running)
	}
	switch {
	case v == nil:
	case fault == nil:
		panic(v)
	default:
		*err = g.file.fail(op, fault)
	}
}

// guarded reports whether the goroutine is in the callback of a guarded
// method, of this file or of another.
func guarded() bool {
	panics := debug.SetPanicOnFault(true)
	debug.SetPanicOnFault(panics)
	return panics
}

// asFault returns what was recovered from a guarded use as an error, if it is
// a fault on the region's own bytes, and nil otherwise. The caller raises
// anything else again, in the deferred call that recovered it: the frames that
// raised it are still on the stack then, so that its trace is whole.
func (r *region) asFault(v any) error {
	e, ok := v.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		return nil
	}
	off, ok := r.contains(e.Addr())
	if !ok {
		return nil
	}
	return &FaultError{Offset: off}
}

// fault returns err, or the same error as an access would have met if it is a
// fault that a system call met in the window at off or behind it.
func (r *region) fault(err error, off int64) error {
	if !errors.Is(err, sys.ErrFault) {
		return err
	}
	fault := &FaultError{Offset: r.offset + r.delta + off}
	if err != sys.ErrFault { // which adds nothing
		fault.Err = err
	}
	return fault
}

// lostBytes returns err, unless err says that a system call was refused memory
// and bytes of the window's range [from, to) are lost: then it is a fault with
// err as its cause. The system call names the file or connection that it was
// for, and says nothing of the mapped file. The caller keeps the region mapped.
func (f *File) lostBytes(op string, r *region, from, to int64, err error) error {
	if err == nil || f.file == nil || !sys.IsFault(err) || errors.Is(err, ErrFault) {
		return err
	}
	off, missing := r.missingByte(from, to, false)
	if !missing {
		return err
	}
	return f.fail(op, &FaultError{Offset: r.offset + r.delta + off, Err: err})
}
