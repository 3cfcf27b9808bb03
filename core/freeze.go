package core

import (
	"slices"

	"github.com/fmmap-go/fmmap/internal/sys"
)

// Freeze makes the mapping read-only from now on: new stores answer [ErrReadOnly] at once, and when the
// operations and pins that were there before have ended the memory itself refuses them. It
// waits for those as long as it takes. What was stored can still be flushed. Heap-backed memory, and
// anonymous memory where the system maps nothing, cannot refuse a store by itself.
func (f *File) Freeze() error { return f.freeze("freeze", sys.Read) }

// FreezeExec is [File.Freeze] and makes the bytes executable. Memory that cannot be made so answers
// [errors.ErrUnsupported]: heap-backed, anonymous where the system maps nothing, and on Windows the bytes of a
// file that was not opened [ReadExec].
func (f *File) FreezeExec() error {
	if !f.canExec() {
		return f.fail("freeze", errNoExec)
	}
	return f.freeze("freeze", sys.ReadExec)
}

// canExec tells whether the memory can be made executable.
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

// freezes tells whether the file is frozen, or will be before a change that is asked for now. Callers hold mu.
func (f *File) freezes() bool {
	return f.readOnly || slices.ContainsFunc(f.queue, func(c *Change) bool {
		_, freeze := c.step.(*freezeStep)
		return freeze
	})
}

type freezeStep struct {
	to  sys.Access
	was bool
}

func (s *freezeStep) start(f *File) (*wait, error) {
	s.was = f.readOnly
	f.readOnly = true
	f.publish(f.gen.Load().data)
	seq := f.gen.Load().seq
	return &wait{blocks: func(p *Pin) bool { return p.seq < seq }}, nil
}

func (s *freezeStep) undo(f *File) {
	f.readOnly = s.was
	f.publish(f.gen.Load().data)
}

func (s *freezeStep) apply(f *File) error {
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
