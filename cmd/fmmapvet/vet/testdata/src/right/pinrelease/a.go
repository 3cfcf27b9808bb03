// Package right has no mistake.
package right

import (
	"errors"
	"io"
	"log"
	"os"
	"testing"

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

func deferredBefore(f *core.File) error {
	p, err := f.Pin(0, 8)
	if err != nil {
		return err
	}
	defer func() { p.Release() }()
	p, _, err = p.Extend(16)
	return err
}

func cleanedUpBefore(t *testing.T, f *core.File) (err error) {
	var p *core.Pin
	t.Cleanup(func() { p.Release() })
	p, err = f.Pin(0, 8)
	return err
}

// pinned returns a pin that the end of the test releases.
func pinned(t testing.TB, f *core.File, n int64) *core.Pin {
	p, err := f.Pin(0, n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Release)
	return p
}

func pinnedInLiteral(t testing.TB, f *core.File) (*core.Pin, error) {
	p, err := f.Pin(0, 8)
	if err == nil {
		t.Cleanup(func() { p.Release() })
	}
	return p, err
}

func pinnedBy(t testing.TB, f *core.File) *core.Pin { return pinned(t, f, 8) }

func lent(h *holder) *core.Pin { return h.p }

func same(p *core.Pin, err error) (*core.Pin, error) { return p, err }

func kept(f *core.File, h *holder) (*core.Pin, error) {
	p, err := f.Pin(0, 8)
	h.p = p
	return p, err
}

func helped(t *testing.T, f *core.File, h *holder) {
	p := pinned(t, f, 8)
	q, err := pinnedInLiteral(t, f)
	r := pinnedBy(t, f)
	u, _ := same(p, err)
	v, err := kept(f, h)
	_, _, _, _, _, _ = p.Bytes(), q.Bytes(), r.Bytes(), lent(h).Bytes(), u.Bytes(), v.Bytes()
	pinned(t, f, 8)
}

func wantErr(t testing.TB, what string, got, want error) {
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func blank(t *testing.T, f *core.File) {
	_, err := f.Pin(-1, 8)
	wantErr(t, "Pin", err, io.EOF)
	if _, err := f.Pin(-1, 8); err == nil {
		t.Error("no error")
	}
	if _, err := f.Pin(-1, 8); err == nil {
		t.Fatal("no error")
	}
	if _, err := f.Pin(-1, 8); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	if _, err = f.Pin(-1, 8); err != io.EOF {
		t.Errorf("%v", err)
	}
	if _, err = f.Pin(-1, 8); err == nil {
		panic("no error")
	}
	none, err := f.Pin(-1, 8)
	wantErr(t, "Pin", err, io.EOF)
	if none != nil {
		t.Error("a pin beside an error")
	}
}

func abandonedOnPurpose(f *core.File) error {
	p, err := f.Pin(0, 8)
	_ = p
	return err
}

func die(message string) {
	if message != "" {
		log.Print(message)
	}
	os.Exit(1)
}

func neverReturns(tb testing.TB, f *core.File, why int) {
	p, err := f.Pin(0, 8)
	if err != nil {
		log.Fatal(err)
	}
	switch why {
	case 1:
		tb.Fatalf("%d", why)
	case 2:
		die("two")
	case 3:
		tb.Skip("three")
	default:
		p.Release()
	}
}
