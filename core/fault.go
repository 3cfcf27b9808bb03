package core

import (
	"errors"
	"runtime"
	"runtime/debug"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// explain turns what a guarded access recovered into an error, when it is a
// fault on the region's own bytes. Callers let anything else go on as the panic
// it was, from within the deferred call that recovered it: the frames
// that raised it are still on the stack then, so its trace is whole.
func (r *region) explain(v any) (err error, ours bool) {
	e, ok := v.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		return nil, false
	}
	off, ok := r.contains(e.Addr())
	return &FaultError{Offset: off}, ok
}

// fault gives the error of a system call that met a fault in the window at
// off or behind it the same type that an access would have met.
func (r *region) fault(err error, off int64) error {
	if errors.Is(err, sys.ErrFault) {
		return &FaultError{Offset: r.offset + r.delta + off}
	}
	return err
}

// access is one short operation under way: it keeps its generation's region
// mapped, and the goroutine's faults panic instead of killing the process.
type access struct {
	g   *generation
	s   *stripe
	old bool // the goroutine's earlier PanicOnFault
}

// begin starts a short operation. Every success is followed by a deferred end.
func (f *File) begin(write bool) (a access, err error) {
	a.g, a.s, err = f.enter()
	if err != nil {
		return a, err
	}
	if write && a.g.readOnly {
		f.leave(a.g.epoch, a.s)
		return a, ErrReadOnly
	}
	a.old = debug.SetPanicOnFault(true)
	return a, nil
}

// end must be deferred directly, or it cannot recover.
func (f *File) end(op string, a access, err *error) {
	v := recover()
	debug.SetPanicOnFault(a.old)
	if v == nil {
		f.leave(a.g.epoch, a.s)
		return
	}
	fault, ours := a.g.region.explain(v) // before leave, which may unmap
	f.leave(a.g.epoch, a.s)
	if !ours {
		panic(v)
	}
	*err = f.fail(op, fault)
}
