package core

import (
	"errors"
	"runtime"
	"runtime/debug"

	"github.com/fmmap-go/fmmap/internal/stripe"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// A use is one guarded use of a region: until end, faults of this goroutine
// panic instead of killing the process. It is either a short operation, which
// end ends, or a use of a pin, which keeps the region mapped itself.
type use struct {
	g       *generation
	running *stripe.Counter // that counts the operation; nil for a pin
	panics  bool            // the goroutine's earlier PanicOnFault
}

// begin begins a use of a pin. It must be followed by a deferred end.
func (p *Pin) begin() use { return use{p.gen, nil, debug.SetPanicOnFault(true)} }

// begin begins a short operation. When it succeeds, it must be followed by a
// deferred end.
func (f *File) begin(store bool) (use, error) {
	g := f.gen.Load()
	if !g.closed && g.gate == nil && !(store && g.readOnly) {
		// As enterFrom does it, without the call.
		running := stripe.Of(g.epoch.running)
		running.Add(1)
		if f.gen.Load() == g {
			return use{g, running, debug.SetPanicOnFault(true)}, nil
		}
		f.leave(g.epoch, running)
	}
	g, running, err := f.enterFrom(g)
	if err != nil {
		return use{}, err
	}
	if store && g.readOnly {
		f.leave(g.epoch, running)
		return use{}, ErrReadOnly
	}
	return use{g, running, debug.SetPanicOnFault(true)}, nil
}

// end ends the use u. A fault on the region's own bytes becomes the error *err;
// any other panic goes on. It must be deferred directly, or it cannot recover.
func (f *File) end(op string, u *use, err *error) {
	v := recover()
	debug.SetPanicOnFault(u.panics)
	if v != nil {
		f.endPanicking(op, u, v, err)
		return
	}
	if u.running != nil {
		f.leave(u.g.epoch, u.running)
	}
}

// endPanicking is the part of end for a use that has panicked with v.
func (f *File) endPanicking(op string, u *use, v any, err *error) {
	fault := u.g.region.asFault(v) // before leave, which may unmap the region
	if u.running != nil {
		f.leave(u.g.epoch, u.running)
	}
	if fault == nil {
		panic(v)
	}
	*err = f.fail(op, fault)
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

// lostBytes returns err, unless err is that of a system call which was refused
// memory and bytes of the window's range [from, to) are lost: then it returns a
// fault with err as its cause. The error of the system call names the file or
// connection that the call was for, and not the mapped file. The caller keeps
// the region mapped.
func (f *File) lostBytes(op string, r *region, from, to int64, err error) error {
	if err == nil {
		return nil // here, so that this much is inlined
	}
	return f.lookForLostBytes(op, r, from, to, err)
}

// lookForLostBytes is lostBytes for an err that is not nil.
func (f *File) lookForLostBytes(op string, r *region, from, to int64, err error) error {
	if f.file == nil || !sys.IsFault(err) || errors.Is(err, ErrFault) {
		return err
	}
	off, missing := r.missingByte(from, to, false)
	if !missing {
		return err
	}
	return f.fail(op, &FaultError{Offset: r.offset + r.delta + off, Err: err})
}
