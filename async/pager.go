package async

import (
	"context"
	"errors"
	"io/fs"

	"github.com/fmmap-go/fmmap/core"
)

// The reads for a cold page are started by who wants it, and waited for by the
// pager: a worker of lane Page, of which there is one. So any number of reads
// are in flight at once, and while the pager sits in a system call it is one P
// that is not available, and not all of them. Touching the pages instead holds
// a P each for the time of a read, and populating them on many workers is
// bistable: the scheduler takes the P back from a system call of this length
// only now and then [go.dev/issue/28701].

// readStep is how many bytes are read at once: what the caller starts to read
// and the pager waits for before it looks whether somebody still wants the rest.
// Starting to read more than the device's queue holds would make the caller wait
// for it.
const readStep = 2 << 20

// willNeed starts to read the first bytes of a pin. What the system cannot start
// the pager reads.
func willNeed(f *core.File, pin *core.Pin) {
	if pin.Len() <= readStep {
		_ = pin.Advise(core.AdviceWillNeed)
		return
	}
	_ = f.Advise(core.AdviceWillNeed, pin.Offset(), readStep)
}

// fetch brings in the bytes of a pin and releases it, for an operation that has
// entered the file.
func (f *File) fetch(ctx context.Context, pin *core.Pin) *Future[struct{}] {
	f.hits.cold.Add(1)
	willNeed(f.core, pin)
	return dispatch(ctx, f, LanePage, opPageIn, pin, func(ctx context.Context) (struct{}, error) {
		err := f.bringIn(ctx, pin)
		pin.Release()
		return struct{}{}, err
	}, nil)
}

// fetchThen is fetch that has the pager call do as soon as the bytes are there.
func (f *File) fetchThen(ctx context.Context, pin *core.Pin, do func() (int, error)) *Future[int] {
	f.hits.cold.Add(1)
	willNeed(f.core, pin)
	return dispatch(ctx, f, LanePage, opRead, pin, func(ctx context.Context) (int, error) {
		defer pin.Release()
		if err := f.bringIn(ctx, pin); err != nil {
			return 0, err
		}
		return do()
	}, nil)
}

// bringIn waits on the pager until the bytes of a pin are in memory.
func (f *File) bringIn(ctx context.Context, pin *core.Pin) error {
	err := f.populate(ctx, pin)
	if err == nil {
		f.hints.set(pin, f.core.Len())
	}
	return err
}

// populate brings in the bytes of a pin step by step, each with the reads of the
// next one under way.
func (f *File) populate(ctx context.Context, pin *core.Pin) error {
	if pin.Len() <= readStep {
		return pin.Populate()
	}
	for at, end := pin.Offset(), pin.Offset()+pin.Len(); at < end; at += readStep {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if next := at + readStep; next < end {
			_ = f.core.Advise(core.AdviceWillNeed, next, min(readStep, end-next))
		}
		err := f.core.Populate(at, min(readStep, end-at))
		if errors.Is(err, core.ErrRange) || errors.Is(err, fs.ErrClosed) {
			return pin.Populate() // the window ends before the pin does
		}
		if err != nil {
			return err
		}
	}
	return nil
}
