// Package right has no mistake.
package right

import (
	"errors"
	"io"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

func deferred(f *core.File) error {
	p, err := f.Pin(0, 8)
	if err != nil {
		return err
	}
	defer p.Release()
	return p.Do(func(b []byte) error { return nil })
}

func combined(f *core.File, want bool) error {
	p, err := f.Pin(0, 8)
	if err != nil || !want {
		if err == nil {
			p.Release()
		}
		return err
	}
	p.Release()
	return nil
}

func inside(f *core.File) (err error) {
	p, err := f.Pin(0, 8)
	if err == nil {
		err = p.Populate()
		p.Release()
	}
	return err
}

func nilPin(f *core.File) error {
	p, err := f.Pin(0, 8)
	if p == nil {
		return err
	}
	p.Release()
	return nil
}

func orElse(f *core.File) error {
	if p, err := f.Pin(0, 8); err != nil {
		return err
	} else {
		p.Release()
	}
	return nil
}

type holder struct{ p *core.Pin }

func stored(f *core.File, h *holder) error {
	p, err := f.Pin(0, 8)
	if err != nil {
		return err
	}
	h.p = p
	return nil
}

func field(f *core.File, h *holder) (err error) {
	h.p, err = f.Pin(0, 8)
	return err
}

func returned(f *core.File) (*core.Pin, error) {
	p, err := f.Pin(0, 8)
	if err != nil {
		return nil, err
	}
	return p, nil
}

func named(f *core.File) (p *core.Pin, err error) {
	p, err = f.Pin(0, 8)
	return
}

func direct(f *core.File) (*core.Pin, error) { return f.Pin(0, 8) }

func passed(f *core.File, use func(*core.Pin)) error {
	p, err := f.Pin(0, 8)
	if err != nil {
		return err
	}
	use(p)
	return nil
}

func inGoroutine(f *core.File) error {
	p, err := f.Pin(0, 8)
	if err != nil {
		return err
	}
	go func() {
		defer p.Release()
		_ = p.Bytes()
	}()
	return nil
}

func methodValue(f *core.File, cleanup func(func())) error {
	p, err := f.Pin(0, 8)
	if err != nil {
		return err
	}
	cleanup(p.Release)
	return nil
}

func fatal(f *core.File) int64 {
	p, err := f.Pin(0, 8)
	if err != nil {
		panic(err)
	}
	n := p.Len()
	p.Release()
	return n
}

func is(f *core.File) error {
	p, err := f.Pin(0, 8)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	p.Release()
	return nil
}

func abandoned(f *async.Future[*core.Pin]) {
	if p, err, ok := f.TryResult(); ok && err == nil {
		p.Release()
	}
}

func extend(f *core.File) (*core.Pin, error) {
	p, err := f.Pin(0, 8)
	if err != nil {
		return nil, err
	}
	p, moved, err := p.Extend(16)
	if err != nil {
		p.Release()
		return nil, err
	}
	_ = moved
	defer p.Release()
	return p.Slice(0, 4)
}
