package core_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing/iotest"
	"unsafe"

	"github.com/fmmap-go/fmmap/core"
)

// action is one step of a worker of the model test: what is to be done to the
// range [at, at+n) of the window.
type action struct {
	*modelled
	from, at, n int64  // from is at, counted in the share
	part        []byte // what the range holds, in the model
	fresh       []byte // what a store is to leave there; it may change that, n bytes of it
}

// kind is a way to use a file.
type kind struct {
	name string
	do   func(a *action) error
	// stores: on success the range holds a.fresh. reaches: it is refused where
	// nothing reaches the file.
	stores, reaches bool
	// rare ones take long. shape ones are for the worker that resizes.
	rare, shape bool
}

var errDiffers = errors.New("the bytes differ")

// is compares loaded bytes with the model.
func (a *action) is(got []byte, err error) error {
	if err == nil && !bytes.Equal(got, a.part) {
		err = errDiffers
	}
	return err
}

// writer is a Writer of the range.
func (a *action) writer(use func(w *core.Writer) error) error {
	w, err := a.f.NewWriter(a.at, a.n)
	if err != nil {
		return err
	}
	return use(w)
}

// word is a value in the middle of the range, or none when that is too short.
func (a *action) word() (off int64, ok bool) {
	copy(a.fresh, a.part)
	off = a.n / 2
	return off, a.n-off >= 16
}

// put makes a store of a value of the model, and of the file.
func put[T core.Fixed](a *action, v T, store func(b []byte)) error {
	off, ok := a.word()
	if !ok {
		return a.f.Update(func([]byte) error { return nil })
	}
	store(a.fresh[off:])
	return core.Put(a.f, a.at+off, binary.BigEndian, v)
}

// typed is an address in the range that is fit for 64 bits, or none.
func (a *action) typed(use func(n *atomic.Uint64, off int64) error) error {
	copy(a.fresh, a.part)
	p, err := a.f.Pin(a.at, a.n)
	if err != nil {
		return err
	}
	defer p.Release()
	off := int64(-uintptr(unsafe.Pointer(unsafe.SliceData(p.Bytes()))) & 7)
	n, err := core.At[atomic.Uint64](p, off)
	if errors.Is(err, core.ErrRange) && off+8 > a.n {
		return a.f.Update(func([]byte) error { return nil }) // too short: refused where a store is
	}
	if err != nil {
		return err
	}
	if a.b.store != nil {
		return a.b.store // which a pin cannot know
	}
	return p.Do(func([]byte) error { return use(n, off) })
}

var kinds = []kind{
	{name: "WriteAt", stores: true, do: func(a *action) error { return second(a.f.WriteAt(a.fresh, a.at)) }},
	{name: "WriteAtCall", stores: true, do: func(a *action) error { return second(a.f.WriteAtCall(a.fresh, a.at)) }},
	{name: "TryWriteAt", stores: true, do: func(a *action) error {
		ok, err := a.f.TryWriteAt(a.fresh, a.at)
		if !ok && err == nil {
			_, err = a.f.WriteAt(a.fresh, a.at)
		}
		return err
	}},
	{name: "a hot page", stores: true, do: func(a *action) (err error) {
		for range 40 {
			err = errors.Join(err, second(a.f.WriteAt(a.fresh, a.at)))
		}
		return err
	}},
	{name: "Update", stores: true, do: func(a *action) error {
		return a.f.Update(func(b []byte) error { copy(b[a.at:a.at+a.n], a.fresh); return nil })
	}},
	{name: "Zero", stores: true, do: func(a *action) error { clear(a.fresh); return a.f.Zero(a.at, a.n) }},
	{name: "PunchHole", stores: true, reaches: true, do: func(a *action) error { clear(a.fresh); return a.f.PunchHole(a.at, a.n) }},
	{name: "Put", stores: true, do: func(a *action) error {
		v := a.rng.Uint64()
		return put(a, v, func(b []byte) { binary.BigEndian.PutUint64(b, v) })
	}},
	{name: "Put of 128 bits", stores: true, do: func(a *action) error {
		v := core.Uint128{Hi: a.rng.Uint64(), Lo: a.rng.Uint64()}
		return put(a, v, func(b []byte) { binary.BigEndian.PutUint64(b, v.Hi); binary.BigEndian.PutUint64(b[8:], v.Lo) })
	}},
	{name: "PutNext", stores: true, do: func(a *action) error {
		return a.writer(func(w *core.Writer) (err error) {
			for i := int64(0); i < a.n && err == nil; i++ {
				err = core.PutNext(w, binary.LittleEndian, a.fresh[i])
			}
			return err
		})
	}},
	{name: "Writer.Write", stores: true, do: func(a *action) error {
		return a.writer(func(w *core.Writer) error {
			_, err := w.Write(a.fresh[:a.n/2])
			return errors.Join(err, second(w.WriteString(string(a.fresh[a.n/2:]))))
		})
	}},
	{name: "Writer.WriteAt", stores: true, do: func(a *action) error {
		return a.writer(func(w *core.Writer) error {
			_, err := w.WriteAt(a.fresh[a.n/3:], a.n/3)
			return errors.Join(err, second(w.WriteAt(a.fresh[:a.n/3], 0)))
		})
	}},
	{name: "ReadFrom", stores: true, do: func(a *action) error {
		return a.writer(func(w *core.Writer) error { return second(w.ReadFrom(iotest.HalfReader(bytes.NewReader(a.fresh)))) })
	}},
	{name: "Pin.Do", stores: true, do: func(a *action) error {
		if a.b.store != nil {
			return a.b.store
		}
		p, err := a.f.Pin(a.at, a.n)
		if err != nil {
			return err
		}
		defer p.Release()
		return p.Do(func(b []byte) error { copy(b, a.fresh); return nil })
	}},
	{name: "an atomic", stores: true, do: func(a *action) error {
		return a.typed(func(n *atomic.Uint64, off int64) error {
			v := a.rng.Uint64()
			if old := n.Swap(v); old != binary.NativeEndian.Uint64(a.part[off:]) {
				return errDiffers
			}
			binary.NativeEndian.PutUint64(a.fresh[off:], v)
			return nil
		})
	}},

	{name: "ReadAt", do: func(a *action) error {
		got := make([]byte, a.n)
		_, err := a.f.ReadAt(got, a.at)
		return a.is(got, err)
	}},
	{name: "Get", do: func(a *action) error {
		off := a.n / 2
		if a.n-off < 4 {
			return nil
		}
		v, err := core.Get[uint32](a.f, a.at+off, binary.LittleEndian)
		if err == nil && v != binary.LittleEndian.Uint32(a.part[off:]) {
			err = errDiffers
		}
		return err
	}},
	{name: "a Reader", do: func(a *action) error {
		r, err := a.f.NewReader(a.at, a.n)
		if err != nil {
			return err
		}
		if _, err := r.Seek(a.n/2, io.SeekStart); err != nil {
			return err
		}
		half, err := io.ReadAll(struct{ io.Reader }{r}) // by Read
		if err != nil || !bytes.Equal(half, a.part[a.n/2:]) {
			return fmt.Errorf("the second half: %w, or %w", err, errDiffers)
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return err
		}
		var all bytes.Buffer
		_, err = r.WriteTo(&all)
		return a.is(all.Bytes(), err)
	}},
	{name: "Next", do: func(a *action) error {
		r, err := a.f.NewReader(a.at, a.n)
		for i := 0; err == nil && i < len(a.part); i++ {
			var v uint8
			if v, err = core.Next[uint8](r, binary.BigEndian); err == nil && v != a.part[i] {
				err = errDiffers
			}
		}
		if err != nil || a.n == 0 {
			return err
		}
		if err := r.UnreadByte(); err != nil {
			return err
		}
		if c, err := r.ReadByte(); err != nil || c != a.part[a.n-1] {
			return fmt.Errorf("the last byte: %w, or %w", err, errDiffers)
		}
		return nil
	}},
	{name: "Slice", do: func(a *action) error {
		p, err := a.f.Pin(a.at, a.n)
		if err != nil {
			return err
		}
		defer p.Release()
		s, err := core.Slice[[3]uint8](p, 0, int(a.n/3))
		for i := range s {
			if s[i] != [3]uint8(a.part[3*i:]) {
				err = errDiffers
			}
		}
		return err
	}},
	{name: "hold", do: func(a *action) error { return a.hold(a.from, a.n) }},
	{name: "CopyTo", rare: true, do: func(a *action) error {
		to := filepath.Join(a.dir, "copy")
		if err := a.f.CopyTo(to, a.at, a.n); err != nil {
			return err
		}
		return a.is(os.ReadFile(to))
	}},
	{name: "Populate", do: func(a *action) error { return a.f.Populate(a.at, a.n) }},
	{name: "Resident", do: func(a *action) error { _, _, err := a.f.Resident(a.at, a.n); return err }},
	{name: "Advise", do: func(a *action) error {
		advice := []core.Advice{core.AdviceNormal, core.AdviceRandom, core.AdviceSequential, core.AdviceWillNeed, core.AdviceCold}[a.rng.IntN(5)]
		if err := a.f.Advise(advice, a.at, a.n); !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		return nil
	}},
	{name: "a pin's hints", do: func(a *action) error {
		p, err := a.f.Pin(a.at, a.n)
		if err != nil {
			return err
		}
		defer p.Release()
		if _, _, err := p.Resident(); err != nil {
			return err
		}
		if err := p.Advise(core.AdviceWillNeed); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		return p.Populate()
	}},
	{name: "LockMemory", rare: true, do: func(a *action) error {
		err := a.f.LockMemory(a.at, a.n)
		if err == nil {
			err = a.f.UnlockMemory(a.at, a.n)
		}
		if errors.Is(err, errors.ErrUnsupported) { // on the heap
			return nil
		}
		return err
	}},
	{name: "Stat", do: func(a *action) error { return second(a.f.Stat()) }},
	{name: "InUse", do: func(a *action) error { a.f.InUse(); return nil }},

	{name: "FlushRange", reaches: true, do: func(a *action) error { return a.f.FlushRange(a.at, a.n) }},
	{name: "Flush", reaches: true, rare: true, do: func(a *action) error { return a.f.Flush() }},
	{name: "StartWriteback", reaches: true, do: func(a *action) error { return a.f.StartWriteback(a.at, a.n) }},
	// Behind a resize that waits for pins, so not in a goroutine that holds one.
	{name: "Refresh", shape: true, rare: true, do: func(a *action) error { return second(a.f.Refresh()) }},
	{name: "a resize", shape: true, do: func(a *action) error { return a.resize() }},
}
