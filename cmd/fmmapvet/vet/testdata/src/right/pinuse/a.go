// Package right has no mistake.
package right

import (
	"errors"
	"io"
	"testing"

	"github.com/fmmap-go/fmmap/core"
)

func before(f *core.File) byte {
	p, _ := f.Pin(0, 8)
	b := p.Bytes()
	c := b[0]
	p.Release()
	return c
}

func lengths(f *core.File) int64 {
	p, _ := f.Pin(0, 8)
	b := p.Bytes()
	p.Release()
	return p.Len() + int64(len(b))
}

func again(f *core.File) (n int) {
	p, _ := f.Pin(0, 8)
	for range 3 {
		b := p.Bytes()
		n += int(b[0])
		p.Release()
		p, _ = f.Pin(0, 8)
	}
	p.Release()
	return n
}

func deferred(f *core.File) byte {
	p, _ := f.Pin(0, 8)
	defer p.Release()
	b := p.Bytes()
	return b[0]
}

func copied(f *core.File) string {
	p, _ := f.Pin(0, 8)
	b := p.Bytes()
	s := string(b)
	own := append([]byte(nil), b...)
	p.Release()
	return s + string(own)
}

func fallback(f *core.File, other []byte) byte {
	p, err := f.Pin(0, 8)
	b := other
	if err == nil {
		own := append([]byte(nil), p.Bytes()...)
		p.Release()
		b = own
	}
	return b[0]
}

func correlated(p *core.Pin, early bool) (c byte) {
	if early {
		p.Release()
	}
	if !early {
		c = p.Bytes()[0]
		p.Release()
	}
	return c
}

func ranged(pins []*core.Pin) (n int) {
	for _, p := range pins {
		b := p.Bytes()
		n += int(b[0])
		p.Release()
	}
	return n
}

func inLiteral(f *core.File) (n int) {
	for range 2 {
		p, _ := f.Pin(0, 8)
		func() {
			b := p.Bytes()
			n += int(b[0])
		}()
		p.Release()
	}
	return n
}

func extended(f *core.File, p *core.Pin) (*core.Pin, error) {
	b := p.Bytes()
	p, moved, err := p.Extend(f.Len())
	if err != nil {
		return p, err
	}
	if moved {
		b = p.Bytes()
	}
	b[0] = 1
	return p, nil
}

func extendedAnew(f *core.File, p *core.Pin) (*core.Pin, error) {
	b := p.Bytes()
	for range 10 {
		var err error
		if p, _, err = p.Extend(f.Len()); err != nil {
			b[0] = 1 // p is as it was
			return p, err
		}
		b = p.Bytes()
		b[0] = 2
	}
	n := len(b)
	_ = n
	return p, nil
}

func extendedElsewhere(p *core.Pin) (*core.Pin, byte) {
	q, _, err := p.Extend(16)
	if err != nil {
		return p, p.Bytes()[0]
	}
	return q, q.Bytes()[0]
}

func wantErr(t *testing.T, got, want error) {
	if !errors.Is(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func refuses(t *testing.T, f *core.File) {
	p, _ := f.Pin(0, 8)
	b := p.Bytes()
	_, _, err := p.Extend(1 << 40)
	wantErr(t, err, io.EOF)
	b[0] = p.Bytes()[0]
	p.Release()
	if p.Bytes() != nil {
		t.Error("a released pin has bytes")
	}
	_, err = p.Slice(0, 4)
	wantErr(t, err, io.EOF)
	if _, err := p.Slice(0, 4); err == nil {
		t.Error("a released pin was sliced")
	}
}
