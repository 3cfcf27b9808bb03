package pinuse

import (
	"testing"

	"github.com/fmmap-go/fmmap/core"
)

func bytesAfter(f *core.File) byte {
	p, err := f.Pin(0, 8)
	if err != nil {
		return 0
	}
	b := p.Bytes()
	p.Release()
	return b[0] // want "b refers to bytes of the pin p, which was released on line"
}

func partAfter(f *core.File, sink func([]byte)) {
	p, _ := f.Pin(0, 8)
	part := p.Bytes()[2:4]
	p.Release()
	sink(part) // want "part refers to bytes of the pin p"
}

func partOfPart(f *core.File, sink func([]byte)) {
	p, _ := f.Pin(0, 8)
	b := p.Bytes()
	head := b[:4]
	p.Release()
	sink(head) // want "head refers to bytes of the pin p"
}

func typedAfter(f *core.File) (n int64) {
	p, _ := f.Pin(0, 8)
	at, _ := core.At[int64](p, 0)
	p.Release()
	return *at // want "at refers to bytes of the pin p"
}

func sliceAfter(f *core.File) (n int64) {
	p, _ := f.Pin(0, 8)
	s, _ := core.Slice[int64](p, 0, 1)
	p.Release()
	for _, v := range s { // want "s refers to bytes of the pin p"
		n += v
	}
	return n
}

func pinAfter(f *core.File) []byte {
	p, _ := f.Pin(0, 8)
	p.Release()
	return p.Bytes() // want "the pin p was released on line"
}

func doAfter(f *core.File) error {
	p, _ := f.Pin(0, 8)
	p.Release()
	return p.Do(func([]byte) error { return nil }) // want "the pin p was released on line"
}

func bothBranches(f *core.File, early bool) byte {
	p, _ := f.Pin(0, 8)
	b := p.Bytes()
	if early {
		p.Release()
	} else {
		_ = p.Populate()
		p.Release()
	}
	return b[0] // want "b refers to bytes of the pin p"
}

func storeAfter(f *core.File) {
	p, _ := f.Pin(0, 8)
	b := p.Bytes()
	p.Release()
	b[0] = 1 // want "b refers to bytes of the pin p"
}

func takeAfter(f *core.File) (*core.Pin, error) {
	p, _ := f.Pin(0, 8)
	p.Release()
	return p.Slice(0, 4) // want "the pin p was released on line"
}

func extendedAfter(f *core.File) (*core.Pin, bool, error) {
	p, _ := f.Pin(0, 8)
	p.Release()
	return p.Extend(4) // want "the pin p was released on line"
}

func oldBytes(f *core.File, p *core.Pin) (byte, error) {
	b := p.Bytes()
	p, _, err := p.Extend(f.Len())
	if err != nil {
		return b[0], err
	}
	defer p.Release()
	return b[0], nil // want "b refers to bytes of the pin p, which was extended on line"
}

func oldPin(p *core.Pin) (byte, error) {
	q, _, err := p.Extend(16)
	if err != nil {
		return p.Bytes()[0], err
	}
	defer q.Release()
	return p.Bytes()[0], nil // want "the pin p was extended on line"
}

func oldTyped(p *core.Pin, n int64) (*core.Pin, error) {
	var err error
	at, _ := core.At[int64](p, 0)
	if p, _, err = p.Extend(n); err != nil {
		return p, err
	}
	*at = n // want "at refers to bytes of the pin p"
	return p, nil
}

func oldPart(p *core.Pin, sizes []int64) *core.Pin {
	head := p.Bytes()[:4]
	for _, n := range sizes {
		p, _, _ = p.Extend(n)
		head[0]++ // want "head refers to bytes of the pin p"
	}
	return p
}

func comparedByte(f *core.File) bool {
	p, _ := f.Pin(0, 8)
	p.Release()
	return p.Bytes()[0] == 1 // want "the pin p was released on line"
}

func check(t *testing.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func inTest(t *testing.T, f *core.File) {
	p, _ := f.Pin(0, 8)
	p.Release()
	q, err := p.Slice(0, 4) // want "the pin p was released on line"
	check(t, err)
	q.Release()
}

func extendedInTest(t *testing.T, p *core.Pin) {
	b := p.Bytes()
	q, _, err := p.Extend(16)
	check(t, err)
	b[0] = 1 // want "b refers to bytes of the pin p"
	q.Release()
}
