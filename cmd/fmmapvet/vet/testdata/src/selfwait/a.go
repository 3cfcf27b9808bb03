package selfwait

import (
	"context"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

func inView(f *core.File) {
	f.View(func(b []byte) error {
		return f.Close() // want "Close waits for the callback of View that calls it"
	})
	f.Update(func(b []byte) error {
		f.Truncate(0)                 // want "Truncate waits for the callback of Update"
		f.Truncate(f.Len() - 1)       // want "Truncate waits for the callback of Update"
		f.Truncate(int64(len(b)) / 2) // want "Truncate waits for the callback of Update"
		return f.Freeze()             // want "Freeze waits for the callback of Update"
	})
}

type store struct{ f *core.File }

func (s *store) inField() error {
	return s.f.View(func(b []byte) error {
		return s.f.CloseTruncate(8) // want "CloseTruncate waits for the callback of View"
	})
}

func throughAsync(f *async.File) error {
	return f.Core().View(func(b []byte) error {
		return f.Close() // want "Close waits for the callback of View"
	})
}

func held(f *core.File) error {
	p, err := f.Pin(0, 8)
	if err != nil {
		return err
	}
	err = f.Close() // want "Close waits for the pin p, which this function holds"
	p.Release()
	return err
}

func heldToTheEnd(f *core.File) error {
	p, err := f.Pin(0, 8)
	if err != nil {
		return err
	}
	defer p.Release()
	return f.Freeze() // want "Freeze waits for the pin p"
}

func wrongOrder(f *core.File) error {
	p, err := f.Pin(0, 8)
	if err != nil {
		return err
	}
	defer p.Release()
	defer f.Close() // want "the deferred Close runs before the deferred Release of p"
	return nil
}

func loaded(ctx context.Context, f *async.File) error {
	p, err := f.Load(ctx, 0, 8).Await(ctx)
	if err != nil {
		return err
	}
	defer p.Release()
	return f.Close() // want "Close waits for the pin p"
}
