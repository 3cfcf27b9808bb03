package core

import (
	"context"
	"os"
)

// StartOpen is like [OpenFileContext], except that it does not wait for the lock
// ([Options].Wait), and calls done exactly once with the outcome. Where the lock
// is held, StartOpen asks for it and returns: waiting costs no goroutine. Then,
// each time the lock has been granted, resume is called with what is left to do,
// which waits for nothing except the disk. It must not block, and see to it that
// step is called once: with nil, on any goroutine that may wait for a disk, or
// with the reason why not. That is then the error, as it is.
//
// resume and done may be called before StartOpen returns, and by any goroutine:
// those of [lock.Lock.AcquireFunc] and those that call steps. done must not block.
func StartOpen(ctx context.Context, name string, o Options, resume func(step func(dropped error)), done func(*File, error)) {
	p, err := openerOf(ctx, name, o)
	start(ctx, p, err, resume, done)
}

// StartMap is to [MapContext] as [StartOpen] is to [OpenFileContext]. f must not
// be closed before done is called.
func StartMap(ctx context.Context, f *os.File, o Options, resume func(step func(dropped error)), done func(*File, error)) {
	p, err := mapperOf(ctx, f, o)
	start(ctx, p, err, resume, done)
}

func start(ctx context.Context, p *opener, err error, resume func(func(error)), done func(*File, error)) {
	if err != nil {
		done(nil, err)
		return
	}
	s := &starting{opener: p, ctx: ctx, resume: resume, done: done}
	s.begin()
}

// A starting is an opening that holds no goroutine while it waits:
//
//	begin ──lock is free──▶ locked ──▶ done
//	│  ▲                      ▲ │
//	│  └────name replaced─────┼─┘
//	└──▶ waiting ──granted────┘
//	        └──ctx ends──▶ undone ──▶ done
type starting struct {
	*opener
	ctx    context.Context
	resume func(step func(dropped error))
	done   func(*File, error)
}

// begin opens the file and takes the lock, or asks for it.
func (s *starting) begin() {
	for {
		op, err := s.open()
		if err != nil {
			s.done(nil, err)
			return
		}
		err = op.tryLock(s.o)
		if op.refused && s.o.Wait {
			op.lock.AcquireFunc(s.ctx, s.o.lockMode(), func(err error) { s.asked(op, err) })
			return
		}
		if s.finish(op, err) {
			return
		}
	}
}

// asked is called when the lock has been granted, or will not be.
func (s *starting) asked(op opening, err error) {
	if err != nil {
		s.finish(op, err) // closes what was opened
		return
	}
	s.resume(func(dropped error) {
		switch {
		case dropped != nil:
			op.undo(s.name)
			op.closeDir()
			s.done(nil, dropped)
		case !s.finish(op, nil):
			s.begin()
		}
	})
}

// finish calls done and returns true, unless another file is to be opened.
func (s *starting) finish(op opening, err error) bool {
	f, err := s.locked(s.ctx, op, err)
	if f == nil && err == nil {
		return false
	}
	s.done(f, err)
	return true
}
