package core_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/lock"
)

// operation is an exported way to use a file, and what kind of use it is.
type operation struct {
	name string
	// do uses one byte at off; what takes no range, or a size, makes of it what
	// it can.
	do func(t *testing.T, f *core.File, off int64) error
	// stores into the bytes, changes the length, reaches the file; ranged is
	// whether off matters.
	stores, changes, reaches, ranged bool
}

// over is behind every window of these tests.
const over = 1 << 40

// size makes an offset that is out of range a size that is.
func size(off int64) int64 {
	if off == over {
		return -1
	}
	return off
}

var operations = []operation{
	{name: "View", do: func(_ *testing.T, f *core.File, _ int64) error { return f.View(func([]byte) error { return nil }) }},
	{name: "Update", do: func(_ *testing.T, f *core.File, _ int64) error { return f.Update(func([]byte) error { return nil }) }, stores: true},
	{name: "Stat", do: func(_ *testing.T, f *core.File, _ int64) error { return second(f.Stat()) }},
	{name: "Clone", do: func(_ *testing.T, f *core.File, _ int64) error { return second(f.Clone()) }},
	{name: "Flush", do: func(_ *testing.T, f *core.File, _ int64) error { return f.Flush() }, reaches: true},
	{name: "Refresh", do: func(_ *testing.T, f *core.File, _ int64) error { return second(f.Refresh()) }},
	{name: "Pin", do: func(_ *testing.T, f *core.File, off int64) error {
		p, err := f.Pin(off, 1)
		if err == nil {
			p.Release()
		}
		return err
	}, ranged: true},
	{name: "ReadAt", do: func(_ *testing.T, f *core.File, off int64) error {
		return second(f.ReadAt(make([]byte, 1), size(off))) // behind the end is io.EOF
	}, ranged: true},
	{name: "WriteAt", do: func(_ *testing.T, f *core.File, off int64) error {
		return second(f.WriteAt(make([]byte, 1), off))
	}, stores: true, ranged: true},
	{name: "TryWriteAt", do: func(_ *testing.T, f *core.File, off int64) error {
		return second(f.TryWriteAt(make([]byte, 1), off))
	}, stores: true, ranged: true},
	{name: "WriteAtCall", do: func(_ *testing.T, f *core.File, off int64) error {
		return second(f.WriteAtCall(make([]byte, 1), off))
	}, stores: true, ranged: true},
	{name: "NewReader", do: func(_ *testing.T, f *core.File, off int64) error { return second(f.NewReader(off, 1)) }, ranged: true},
	{name: "NewWriter", do: func(_ *testing.T, f *core.File, off int64) error { return second(f.NewWriter(off, 1)) }, stores: true, ranged: true},
	{name: "Get", do: func(_ *testing.T, f *core.File, off int64) error {
		return second(core.Get[uint64](f, off, binary.LittleEndian))
	}, ranged: true},
	{name: "Put", do: func(_ *testing.T, f *core.File, off int64) error {
		return core.Put(f, off, binary.LittleEndian, 1)
	}, stores: true, ranged: true},
	{name: "Zero", do: func(_ *testing.T, f *core.File, off int64) error { return f.Zero(off, 1) }, stores: true, ranged: true},
	{name: "PunchHole", do: func(_ *testing.T, f *core.File, off int64) error {
		return f.PunchHole(off, 1)
	}, stores: true, reaches: true, ranged: true},
	{name: "CopyTo", do: func(t *testing.T, f *core.File, off int64) error {
		return f.CopyTo(filepath.Join(t.TempDir(), "copy"), off, 1)
	}, ranged: true},
	{name: "FlushRange", do: func(_ *testing.T, f *core.File, off int64) error { return f.FlushRange(off, 1) }, reaches: true, ranged: true},
	{name: "StartWriteback", do: func(_ *testing.T, f *core.File, off int64) error { return f.StartWriteback(off, 1) }, reaches: true, ranged: true},
	{name: "Advise", do: func(_ *testing.T, f *core.File, off int64) error { return f.Advise(core.AdviceRandom, off, 1) }, ranged: true},
	{name: "Resident", do: func(_ *testing.T, f *core.File, off int64) error { _, _, err := f.Resident(off, 1); return err }, ranged: true},
	{name: "Populate", do: func(_ *testing.T, f *core.File, off int64) error { return f.Populate(off, 1) }, ranged: true},
	{name: "LockMemory", do: func(_ *testing.T, f *core.File, off int64) error { return f.LockMemory(off, 1) }, ranged: true},
	{name: "UnlockMemory", do: func(_ *testing.T, f *core.File, off int64) error { return f.UnlockMemory(off, 1) }, ranged: true},
	{name: "Truncate", do: func(_ *testing.T, f *core.File, off int64) error { return f.Truncate(size(off)) }, changes: true, ranged: true},
	{name: "TruncateContext", do: func(_ *testing.T, f *core.File, off int64) error {
		return f.TruncateContext(context.Background(), size(off))
	}, changes: true, ranged: true},
	{name: "StartTruncate", do: func(_ *testing.T, f *core.File, off int64) error {
		c, err := f.StartTruncate(size(off), nil)
		if err == nil {
			err = c.Finish()
		}
		return err
	}, changes: true, ranged: true},
	{name: "CloseTruncate", do: func(_ *testing.T, f *core.File, off int64) error { return f.CloseTruncate(size(off)) }, changes: true, ranged: true},
	{name: "Freeze", do: func(_ *testing.T, f *core.File, _ int64) error { return f.Freeze() }},
	{name: "Close", do: func(_ *testing.T, f *core.File, _ int64) error { return f.Close() }},
	{name: "CloseContext", do: func(_ *testing.T, f *core.File, _ int64) error { return f.CloseContext(context.Background()) }},
}

// refusal is the error that the operation always returns on a back end, or nil.
func (o operation) refusal(b backend) error {
	switch {
	case o.stores && b.store != nil:
		return b.store
	case o.changes && b.resize != nil:
		return b.resize
	case o.reaches:
		return b.flush
	}
	return nil
}

// wantError checks that err is a PathError of the file around the cause, with
// one path.
func wantError(t *testing.T, f *core.File, what string, err error, want ...error) {
	t.Helper()
	var pe, inner *fs.PathError
	if !errors.As(err, &pe) || pe.Op == "" || pe.Path != f.Name() || errors.As(pe.Err, &inner) {
		t.Errorf("%s: %v is no PathError of %s, or two", what, err, f.Name())
		return
	}
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	t.Errorf("%s: got %v, want %v", what, err, want)
}

// Each operation, on each back end, in each condition: the error that is
// promised for it, and nothing else.
func TestErrorsOfEveryOperation(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		for _, op := range operations {
			t.Run(op.name, func(t *testing.T) {
				f := b.open(t, pattern(10_000, 1))
				refused := op.refusal(b)
				if op.ranged && refused != nil {
					wantError(t, f, "refused and out of range", op.do(t, f, over), refused, core.ErrRange)
				} else if op.ranged {
					wantError(t, f, "out of range", op.do(t, f, over), core.ErrRange)
				}
				switch err := op.do(t, f, 0); {
				case refused != nil:
					wantError(t, f, "refused", err, refused)
				case err != nil:
					wantError(t, f, "as it should be", err, errors.ErrUnsupported)
				}
				_ = f.Close()
				// What can never be done need not say that it cannot be done
				// any more.
				closed := []error{fs.ErrClosed}
				if refused != nil {
					closed = append(closed, refused)
				}
				wantError(t, f, "closed", op.do(t, f, 0), closed...)

				g := b.open(t, pattern(10_000, 1))
				check(t, g.Freeze())
				if op.stores || op.changes {
					wantError(t, g, "frozen", op.do(t, g, 0), core.ErrReadOnly)
				}
			})
		}
	})
}

// What a pin and a typed view of it return once it has been released.
func TestErrorsOfAReleasedPin(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		f := b.open(t, pattern(10_000, 1))
		p := pinned(t, f, 0, 100)
		p.Release()
		for name, use := range map[string]func(p *core.Pin) error{
			"Do":       func(p *core.Pin) error { return p.Do(func([]byte) error { t.Error("called"); return nil }) },
			"Populate": (*core.Pin).Populate,
			"Resident": func(p *core.Pin) error { _, _, err := p.Resident(); return err },
			"Advise":   func(p *core.Pin) error { return p.Advise(core.AdviceNormal) },
			"At":       func(p *core.Pin) error { return second(core.At[uint64](p, 0)) },
			"Slice":    func(p *core.Pin) error { return second(core.Slice[uint64](p, 0, 1)) },
		} {
			wantError(t, f, name, use(p), fs.ErrClosed)
		}
		if p.Bytes() != nil {
			t.Error("Bytes gives some")
		}
	})
}

// The sentinels that opening, faults and flushes return: each is reached, and
// names the file.
func TestErrorsOfOpeningFaultsAndFlushes(t *testing.T) {
	name := tempFile(t, pattern(10_000, 1))
	holder := opened(t, name, core.Options{Access: core.ReadWrite})
	cut := shortened(t, core.Options{Access: core.ReadWrite})
	failing(t, sys.OpMsync, 0, syscall.EIO)
	flush := holder.Flush()
	failing(t, "", 0, nil)
	for _, c := range []struct {
		name string
		err  error
		path string
		want []error
	}{
		{"locked", second(core.Open(name)), name, []error{lock.ErrLocked}},
		{"absent", second(core.Open(name + "x")), name + "x", []error{fs.ErrNotExist}},
		{"present", second(core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true, Exclusive: true})), name, []error{fs.ErrExist}},
		{"a directory", second(core.Open(filepath.Dir(name))), filepath.Dir(name), []error{errors.ErrUnsupported}},
		{"contradiction", second(core.OpenFile(name, core.Options{Exclusive: true})), name, []error{fs.ErrInvalid}},
		{"impossible range", second(core.OpenFile(name, core.Options{Offset: -1})), name, []error{core.ErrRange}},
		{"change without access", second(core.OpenFile(name, core.Options{Truncate: true})), name, []error{core.ErrReadOnly}},
		{"fault", cut.View(func(b []byte) error { _ = string(b[MiB-1:]); return nil }), cut.Name(), []error{core.ErrFault}},
		{"failed flush", flush, name, []error{core.ErrFlushFailed, syscall.EIO}},
		{"flush after it", holder.Flush(), name, []error{core.ErrFlushFailed, syscall.EIO}},
		{"copy to nowhere", holder.CopyTo(name+"/x", 0, 1), name + "/x", nil},
	} {
		var pe *fs.PathError
		if !errors.As(c.err, &pe) || pe.Path != c.path {
			t.Errorf("%s: %v is no PathError of %s", c.name, c.err, c.path)
		}
		for _, want := range c.want {
			if !errors.Is(c.err, want) {
				t.Errorf("%s: got %v, want %v", c.name, c.err, want)
			}
		}
	}
	if _, err := os.Stat(name + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused opening made a file: %v", err)
	}
}
