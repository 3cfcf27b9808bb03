// Package right has no mistake.
package right

import (
	"github.com/fmmap-go/fmmap/core"
)

func otherFile(f, g *core.File) error {
	return f.View(func(b []byte) error { return g.Close() })
}

func rightOrder(f *core.File) error {
	defer f.Close()
	p, err := f.Pin(0, 8)
	if err != nil {
		return f.Close()
	}
	defer p.Release()
	return nil
}

func released(f *core.File) error {
	p, err := f.Pin(0, 8)
	if err != nil {
		return err
	}
	p.Release()
	return f.Close()
}

func longer(f *core.File) error {
	return f.Update(func(b []byte) error { return f.Truncate(int64(2 * len(b))) })
}

func later(f *core.File) error {
	return f.View(func(b []byte) error {
		go f.Close()
		return nil
	})
}
