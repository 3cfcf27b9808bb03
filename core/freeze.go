package core

import (
	"context"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// Freeze makes the mapping read-only from now on: new stores return
// [ErrReadOnly] at once, and when the operations and pins that were there
// before have ended, the memory itself refuses them. It waits for those as long
// as it takes. What was stored can still be flushed. Heap-backed memory, and
// anonymous memory where the system maps nothing, cannot refuse a store by
// itself.
func (f *File) Freeze() error { return f.freeze("freeze", sys.Read) }

// FreezeExec is [File.Freeze] and makes the bytes executable. Memory that
// cannot be made so returns [errors.ErrUnsupported]: heap-backed, anonymous
// where the system maps nothing, and on Windows the bytes of a file that was
// not opened [ReadExec].
func (f *File) FreezeExec() error {
	if !f.canExec() {
		return f.fail("freeze", errNoExec)
	}
	return f.freeze("freeze", sys.ReadExec)
}

// canExec reports whether the memory can be made executable.
func (f *File) canExec() bool {
	if f.file != nil {
		return f.access == ReadExec || !sys.ExecIsFixed
	}
	return sys.MapsFiles && f.gen.Load().region.heap == nil
}

func (f *File) freeze(op string, to sys.Access) error {
	c, err := f.submit(op, &freezeStep{to: to}, nil)
	if err != nil {
		return err
	}
	return c.Finish()
}

// freezes reports whether the file is frozen, or will be before a change that
// is submitted now. The caller holds mu.
func (f *File) freezes() bool {
	for e := f.queue.Front(); e != nil; e = e.Next() {
		if e.Value.(*Change).step.freezes() {
			return true
		}
	}
	return f.readOnly
}

type freezeStep struct {
	plainStep
	to          sys.Access
	wasReadOnly bool
}

func (s *freezeStep) freezes() bool { return true }

func (s *freezeStep) start(f *File) (*wait, error) {
	s.wasReadOnly = f.readOnly
	f.readOnly = true
	f.publish(f.gen.Load().data)
	return untilUnused(), nil
}

func (s *freezeStep) undo(f *File) {
	f.readOnly = s.wasReadOnly
	f.publish(f.gen.Load().data)
}

func (s *freezeStep) apply(_ context.Context, f *File) error {
	if r := f.gen.Load().region; r.m != nil {
		if err := r.m.Protect(s.to); err != nil {
			return err
		}
	}
	f.mu.Lock()
	f.protection = s.to
	f.mu.Unlock()
	return nil
}
