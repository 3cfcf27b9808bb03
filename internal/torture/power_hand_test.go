package torture

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// A hand is one goroutine of a writer. Records and names that it makes are its
// own.
type hand struct {
	*writer
	id       int
	rnd      *rand.Rand
	own      []int64 // slots
	versions map[int64]uint32
	pins     []*core.Pin // by the slots in own; some are nil
	files    map[string]state
	salt     byte
}

func (h *hand) run() (err error) {
	defer func() {
		for _, p := range h.pins {
			if p != nil {
				p.Release()
			}
		}
	}()
	for range h.Rounds {
		switch n := h.rnd.IntN(100); {
		case n < 55:
			err = h.record()
		case n < 63:
			err = h.lengthen()
		case n < 75:
			err = h.create()
		case n < 80:
			err = h.resize()
		case n < 88:
			err = h.copy()
		case n < 92:
			err = h.rename()
		default:
			err = h.remove()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// record writes one to three records and commits them together.
func (h *hand) record() error {
	var events []event
	var lo, hi int64
	for range 1 + h.rnd.IntN(3)/2*h.rnd.IntN(3) {
		i := h.pick()
		slot := h.own[i]
		h.versions[slot]++
		if len(events) == 0 {
			lo, hi = slot*slotSize, (slot+1)*slotSize
		}
		lo, hi = min(lo, slot*slotSize), max(hi, (slot+1)*slotSize)
		events = append(events, event{Kind: recordKind, Name: storeName, Slot: slot, Version: h.versions[slot]})
	}
	return h.do(func() error {
		if err := h.reach(hi); err != nil {
			return err
		}
		for _, e := range events {
			if err := h.put(e.Slot, e.Version); err != nil {
				return err
			}
		}
		if h.rnd.IntN(8) == 0 {
			if err := h.store.Core().StartWriteback(lo, hi-lo); err != nil {
				return err
			}
		}
		return h.commit(h.rnd, lo, hi-lo)
	}, events...)
}

// pick chooses a slot of the hand's, a third of the times one that it has
// written before.
func (h *hand) pick() (i int) {
	if len(h.own) > 0 && h.rnd.IntN(3) == 0 {
		return h.rnd.IntN(len(h.own))
	}
	h.own = append(h.own, h.slots.Add(1)-1)
	h.pins = append(h.pins, nil)
	return len(h.own) - 1
}

// put stores a record, in one of the ways there are.
func (h *hand) put(slot int64, version uint32) error {
	off := slot * slotSize
	b := make([]byte, 0, slotSize)
	for i := int64(0); i < slotSize; i += 8 {
		b = le.AppendUint64(b, word(off+i, version))
	}
	f := h.store.Core()
	switch h.rnd.IntN(5) {
	case 0:
		return second(h.store.WriteAt(bg, b, off).Await(bg))
	case 1:
		return f.Update(func(all []byte) error { copy(all[off:], b); return nil })
	case 2: // through a pin that is kept, while the store moves on to another region
		for i, s := range h.own {
			if s != slot {
				continue
			}
			if h.pins[i] == nil {
				p, err := f.Pin(off, slotSize)
				if err != nil {
					return err
				}
				h.pins[i] = p
			}
			return h.pins[i].Do(func(own []byte) error { copy(own, b); return nil })
		}
	case 3:
		for i := 0; i < len(b); i += 8 {
			if err := core.Put(f, off+int64(i), le, le.Uint64(b[i:])); err != nil {
				return err
			}
		}
		return nil
	}
	return second(f.WriteAt(b, off))
}

// lengthen makes the store longer, and that durable.
func (h *hand) lengthen() error {
	e := event{Kind: lengthKind, Name: storeName}
	h.grow.Lock()
	size := h.store.Core().Len() + h.rnd.Int64N(20*slotSize)
	h.grow.Unlock()
	e.State.Len = size
	return h.do(func() error {
		if err := h.reach(size); err != nil {
			return err
		}
		return h.commit(h.rnd, size/2, 8)
	}, e)
}

// name is one of the names that the hand may use.
func (h *hand) name() string { return fmt.Sprintf("file-%d-%d", h.id, h.rnd.IntN(3)) }

// present is the name of a file that is there; where there is none, one is
// created first.
func (h *hand) present() (string, error) {
	for {
		for range 6 {
			if name := h.name(); h.files[name].There {
				return name, nil
			}
		}
		if err := h.create(); err != nil {
			return "", err
		}
	}
}

// with opens a file for reading and writing, and closes it after do.
func (h *hand) with(name string, o core.Options, do func(f *async.File) error) error {
	o.Access = core.ReadWrite
	f, err := async.Open(bg, h.pool, filepath.Join(h.Dir, name), o).Await(bg)
	if err != nil {
		return err
	}
	return errors.Join(do(f), f.Close())
}

func (h *hand) create() error {
	h.salt += 2 // letter has the lowest bit always set
	name := h.name()
	s := state{There: true, Len: h.rnd.Int64N(20_000), Salt: h.salt}
	s.Filled = s.Len - h.rnd.Int64N(1+s.Len/4)
	h.files[name] = s
	return h.do(func() error {
		o := core.Options{Create: true, Truncate: true, Size: s.Len, Sparse: h.rnd.IntN(2) == 0, Perm: 0o600}
		return h.with(name, o, func(f *async.File) error {
			if err := second(f.WriteAt(bg, s.bytes()[:s.Filled], 0).Await(bg)); err != nil {
				return err
			}
			return h.flushFile(f)
		})
	}, event{Kind: createKind, Name: name, State: s})
}

func (h *hand) resize() error {
	name, err := h.present()
	if err != nil {
		return err
	}
	s := h.files[name]
	s.Len = h.rnd.Int64N(20_000)
	s.Filled = min(s.Filled, s.Len)
	h.files[name] = s
	return h.do(func() error {
		return h.with(name, core.Options{}, func(f *async.File) error {
			if err := f.Truncate(bg, s.Len).Wait(); err != nil {
				return err
			}
			return h.flushFile(f)
		})
	}, event{Kind: resizeKind, Name: name, State: s})
}

// copy copies a part of a file over another name.
func (h *hand) copy() error {
	from, err := h.present()
	if err != nil {
		return err
	}
	s := h.files[from]
	off := h.rnd.Int64N(s.Len + 1)
	n := h.rnd.Int64N(s.Len - off + 1)
	if h.rnd.IntN(2) == 0 {
		off, n = 0, s.Len
	}
	s.Off, s.Len, s.Filled = s.Off+off, n, min(max(s.Filled-off, 0), n)
	to := h.name()
	h.files[to] = s
	return h.do(func() error {
		return h.with(from, core.Options{}, func(f *async.File) error {
			return f.CopyTo(bg, filepath.Join(h.Dir, to), off, n).Wait()
		})
	}, event{Kind: copyKind, Name: to, State: s})
}

func (h *hand) rename() error {
	from, err := h.present()
	if err != nil {
		return err
	}
	to, s := h.name(), h.files[from]
	if from == to {
		return nil
	}
	h.files[from], h.files[to] = state{}, s
	return h.do(func() error {
		name := filepath.Join(h.Dir, to)
		if err := os.Rename(filepath.Join(h.Dir, from), name); err != nil {
			return err
		}
		err := core.SyncParent(name)
		if h.Break == breakParent && errors.Is(err, errors.ErrUnsupported) {
			return nil
		}
		return err
	}, event{Kind: renameKind, Name: from}, event{Kind: renameKind, Name: to, State: s})
}

func (h *hand) remove() error {
	name, err := h.present()
	if err != nil {
		return err
	}
	h.files[name] = state{}
	return h.do(func() error {
		if h.rnd.IntN(3) == 0 {
			return h.with(name, core.Options{RemoveOnClose: true}, func(*async.File) error { return nil })
		}
		return h.with(name, core.Options{}, func(f *async.File) error { return f.Remove(bg).Wait() })
	}, event{Kind: removeKind, Name: name})
}
