package core_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

const (
	holders = 4
	slot    = 64 // bytes; the i-th slot of the window belongs to holder i%holders
)

// Many goroutines pin, store and load while another one grows and shrinks the
// window. As long as a pin is held its bytes are those that its holder has
// stored through it, at the place in the file that it was taken for.
func TestPinsUnderResizing(t *testing.T) {
	seed := testutil.Seed(t)
	for _, b := range resizable {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			f := b.open(t, nil, 64*KiB)
			base := sizeOf(t, f, 0)
			var wg sync.WaitGroup
			var stop atomic.Bool
			for i := range holders {
				h := &holder{t: t, f: f, i: int64(i), rng: rand.New(rand.NewPCG(seed, uint64(i)))}
				wg.Go(func() {
					for !stop.Load() && h.step() {
					}
				})
			}
			rng := rand.New(rand.NewPCG(seed, 99))
			for range 200 {
				ctx, cancel := context.WithCancel(context.Background())
				if rng.IntN(4) == 0 {
					cancel()
				}
				if err := f.TruncateContext(ctx, base+rng.Int64N(256*KiB)); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				cancel()
			}
			stop.Store(true)
			wg.Wait()
			check(t, f.Close())
		})
	}
}

type holder struct {
	t   *testing.T
	f   *core.File
	i   int64
	rng *rand.Rand
}

// step holds a pin on one of its slots for a while, and reports whether all was
// well.
func (h *holder) step() bool {
	slots := h.f.Len() / slot / holders
	if slots == 0 {
		runtime.Gosched()
		return true
	}
	off := (h.rng.Int64N(slots)*holders + h.i) * slot
	p, err := h.f.Pin(off, slot)
	if errors.Is(err, core.ErrRange) {
		return true // the window has become shorter
	}
	if err != nil {
		h.t.Error(err)
		return false
	}
	defer p.Release()
	stored := pattern(slot, byte(h.rng.Uint32()))
	if err := p.Do(func(b []byte) error { copy(b, stored); return nil }); err != nil {
		h.t.Error(err)
		return false
	}
	for range h.rng.IntN(4) {
		runtime.Gosched()
	}
	loaded := make([]byte, slot)
	err = p.Do(func(b []byte) error { copy(loaded, b); return nil })
	if err != nil || !bytes.Equal(loaded, stored) {
		h.t.Errorf("the pin at %d shows other bytes than were stored (%v)", off, err)
		return false
	}
	// A shrink that waits for this pin hides the bytes from new operations
	// already.
	if n, err := h.f.ReadAt(loaded, off); n == slot && !bytes.Equal(loaded, stored) || n < slot && err != io.EOF {
		h.t.Errorf("the window shows other bytes at %d than the pin (%d, %v)", off, n, err)
		return false
	}
	return true
}

// Short operations go on while the window grows, shrinks and moves. Each finds
// its own bytes as the last one left them, or zero where they were cut off
// meanwhile, up to the end of the window that it was let into.
func TestOperationsUnderResizing(t *testing.T) {
	seed := testutil.Seed(t)
	for _, b := range resizable {
		t.Run(b.name, func(t *testing.T) {
			f := b.open(t, nil, 4*KiB)
			base := sizeOf(t, f, 0)
			var wg sync.WaitGroup
			var stop atomic.Bool
			for i := range holders {
				wg.Go(func() {
					for round := byte(1); !stop.Load(); round++ {
						if err := f.Update(func(b []byte) error { return fillSlots(b, i, round) }); err != nil {
							t.Error(err)
							return
						}
						runtime.Gosched() // or the one that resizes hardly gets a turn
					}
				})
			}
			rng := rand.New(rand.NewPCG(seed, 1))
			for n := range int64(300) {
				// Up and down by a page or so, and now and then past the room
				// there is.
				size := (4*KiB + n*KiB/8 + rng.Int64N(4*KiB)) &^ (slot - 1)
				if err := f.Truncate(base + size); err != nil {
					t.Error(err)
				}
			}
			stop.Store(true)
			wg.Wait()
			check(t, f.Close())
		})
	}
}

// fillSlots checks the slots of holder i, and stores the round there.
func fillSlots(b []byte, i int, round byte) error {
	for at := i * slot; at+slot <= len(b); at += holders * slot {
		for j := range b[at : at+slot] {
			if c := b[at+j]; c != 0 && c != round-1 && c != round-2 {
				return fmt.Errorf("in round %d the byte at %d of %d is %d", round, at+j, len(b), c)
			}
			b[at+j] = round
		}
	}
	return nil
}
