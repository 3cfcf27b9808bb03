package pinrelease

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

func never(f *core.File) error {
	p, err := f.Pin(0, 8) // want "the pin p is not released on all paths"
	if err != nil {
		return err
	}
	fmt.Println(p.Bytes())
	return nil // want "may not be released here"
}

func oneBranch(f *core.File, ok bool) error {
	p, err := f.Pin(0, 8) // want "not released on all paths"
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("no") // want "may not be released here"
	}
	p.Release()
	return nil
}

func beforeCheck(f *core.File) (n int64, err error) {
	p, err := f.Pin(0, 8) // want "not released on all paths"
	if err == nil {
		n = p.Len()
	}
	return n, err // want "may not be released here"
}

func loop(f *core.File) error {
	for off := int64(0); off < f.Len(); off += 8 {
		p, err := f.Pin(off, 8) // want "not released on all paths"
		if err != nil {
			return err
		}
		_ = p.Bytes()
	}
	return nil
}

func continues(f *core.File) error {
	for off := int64(0); off < f.Len(); off += 8 {
		p, err := f.Pin(off, 8) // want "not released on all paths"
		if err != nil {
			return err
		}
		if p.Bytes()[0] == 0 {
			continue
		}
		p.Release()
	}
	return nil
}

func overwritten(f *core.File) error {
	p, err := f.Pin(0, 8) // want "not released on all paths"
	if err != nil {
		return err
	}
	p, err = f.Pin(8, 8) // want "may not be released here"
	if err != nil {
		return err
	}
	p.Release()
	return nil
}

func loaded(ctx context.Context, f *async.File) error {
	p, err := f.Load(ctx, 0, 8).Await(ctx) // want "not released on all paths"
	if err != nil {
		return err
	}
	return p.Do(func(b []byte) error { return nil }) // want "may not be released here"
}

func tried(f *async.File) byte {
	p, ok := f.TryLoad(0, 8) // want "not released on all paths"
	if !ok {
		return 0
	}
	return p.Bytes()[0] // want "may not be released here"
}

func typed(f *core.File) (*int64, error) {
	p, err := f.Pin(0, 8) // want "not released on all paths"
	if err != nil {
		return nil, err
	}
	return core.At[int64](p, 0) // want "may not be released here"
}

func discarded(f *core.File) {
	f.Pin(0, 8)        // want "the pin is discarded"
	_, _ = f.Pin(0, 8) // want "the pin is discarded"
}

func switched(f *core.File, mode int) error {
	p, err := f.Pin(0, 8) // want "not released on all paths"
	switch {
	case err != nil:
		return err
	case mode == 1:
		p.Release()
		return nil
	case mode == 2:
		return io.EOF // want "may not be released here"
	}
	p.Release()
	return nil
}

var inLiteral = func(f *core.File) {
	p, err := f.Pin(0, 8) // want "not released on all paths"
	if err != nil {
		return
	}
	_ = p.Bytes()
}

func part(p *core.Pin) error {
	q, err := p.Slice(0, 4) // want "not released on all paths"
	if err != nil {
		return err
	}
	_ = q.Bytes()
	return nil // want "may not be released here"
}

func extended(f *core.File) error {
	p, err := f.Pin(0, 8)
	if err != nil {
		return err
	}
	q, _, err := p.Extend(16) // want "not released on all paths"
	if err != nil {
		p.Release()
		return err
	}
	_ = q.Bytes()
	return nil // want "may not be released here"
}
