package pinrelease

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

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

func capturedAndRead(f *core.File) (err error) {
	var p *core.Pin
	show := func() { fmt.Println(p.Bytes()) }
	p, err = f.Pin(0, 8) // want "not released on all paths"
	if err != nil {
		return err
	}
	show()
	return nil // want "may not be released here"
}

func capturedLater(f *core.File, ok bool) error {
	p, err := f.Pin(0, 8) // want "not released on all paths"
	if err != nil {
		return err
	}
	if !ok {
		return io.EOF // want "may not be released here"
	}
	defer func() { p.Release() }()
	return nil
}

// take leaves the pin to its caller, and so does takeTwo, which calls it.
func take(t testing.TB, f *core.File, n int64) *core.Pin {
	p, err := f.Pin(0, n)
	if err != nil {
		t.Fatal(err)
	}
	if p.Len() < n {
		p.Release()
		return nil
	}
	return p
}

func takeTwo(t testing.TB, f *core.File) (*core.Pin, error) {
	if f.Len() == 0 {
		return nil, io.EOF
	}
	return take(t, f, 2), nil
}

func takeNamed(f *core.File) (p *core.Pin, err error) {
	if p, err = f.Pin(0, 1); err != nil {
		return nil, err
	}
	return
}

func direct(f *core.File) (*core.Pin, error) { return f.Pin(0, 8) }

func helped(t *testing.T, f *core.File) {
	p := take(t, f, 8) // want "not released on all paths"
	_ = p.Bytes()
}

func helpedTwice(t *testing.T, f *core.File) error {
	p, err := takeTwo(t, f) // want "not released on all paths"
	if err != nil {
		return err
	}
	_ = p.Bytes()
	return nil // want "may not be released here"
}

func helpedNamed(f *core.File) {
	takeNamed(f)        // want "the pin is discarded"
	p, err := direct(f) // want "not released on all paths"
	fmt.Println(p.Bytes(), err)
}

func blank(f *core.File) error {
	_, err := f.Pin(0, 8) // want "the pin is discarded"
	return err
}

func blankChecked(f *core.File) error {
	if _, err := f.Pin(0, 8); err != nil { // want "the pin is discarded"
		return err
	}
	return nil
}

func blankExpected(f *core.File) error {
	if _, err := f.Pin(0, 8); err == nil { // want "the pin is discarded"
		return errors.New("there should be an error")
	}
	return nil
}

func blankClosed(f *core.File) bool {
	_, err := f.Pin(0, 8) // want "the pin is discarded"
	return errors.Is(err, io.EOF)
}

func blankPrinted(f *core.File) {
	_, err := f.Pin(0, 8) // want "the pin is discarded"
	fmt.Println(err)
}

func check(t *testing.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func blankInTest(t *testing.T, f *core.File) {
	_, err := f.Pin(0, 8) // want "the pin is discarded"
	check(t, err)
	_, err = f.Pin(8, 8) // want "the pin is discarded"
	if err != nil {
		t.Error(err)
	}
}

func blankOverwritten(t *testing.T, f *core.File) {
	_, err := f.Pin(0, 8) // want "the pin is discarded"
	err = f.Flush()
	if err == nil {
		t.Fatal("no error")
	}
}

func wantErr(t testing.TB, got, want error) {
	if !errors.Is(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func otherExpected(t *testing.T, f *core.File) {
	_, err := f.Pin(0, 8) // want "the pin is discarded"
	err = f.Flush()
	wantErr(t, err, io.EOF)
}
