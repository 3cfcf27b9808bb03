package core_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

const (
	workers = 4
	share   = 16 * KiB // of the window, for each worker to itself
)

// A few goroutines do everything that a file can do, at random, each on its own
// share of the window. After every step a worker compares its share with a
// model, a plain slice; one of them also resizes what lies behind the shares.
// In the end the file must hold what the models do.
func TestAgainstAModel(t *testing.T) {
	seed := testutil.Seed(t)
	steps := 400
	if testing.Short() {
		steps = 60
	}
	for i, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			start := pattern(workers*share+100, byte(i))
			f := b.open(t, start)
			var all [workers]*modelled
			var wg sync.WaitGroup
			for w := range all {
				all[w] = &modelled{
					t: t, f: f, b: b, off: int64(w * share), want: bytes.Clone(start[w*share : (w+1)*share]),
					rng: rand.New(rand.NewPCG(seed, uint64(i*workers+w))), dir: t.TempDir(),
					resizes: w == 0 && b.resize == nil && b.name != "window",
				}
				if b.resize == nil {
					all[w].base = sizeOf(t, f, 0)
				}
				wg.Go(func() { all[w].run(steps) })
			}
			wg.Wait()
			ending(t, f, b, start, all[:])
		})
	}
}

// ending checks what is left when the workers are done: in the window, in the
// frozen window, and in the file.
func ending(t *testing.T, f *core.File, b backend, start []byte, all []*modelled) {
	var want []byte
	for _, m := range all {
		want = append(want, m.want...)
	}
	check(t, f.Freeze())
	got, err := f.Clone()
	if err != nil || !bytes.Equal(got[:len(want)], want) {
		t.Errorf("the frozen window differs (%v)", err)
	}
	check(t, f.Close())
	if !b.file {
		return
	}
	file, err := os.ReadFile(f.Name())
	check(t, err)
	switch {
	case b.private || b.store != nil:
		if !bytes.Contains(file, start) {
			t.Error("the file behind a mapping that does not store there changed")
		}
	case !bytes.Contains(file, want):
		t.Error("the file does not hold what was stored")
	}
}

// modelled is one worker, its share, and what that should hold.
type modelled struct {
	t       *testing.T
	f       *core.File
	b       backend
	base    int64 // the file's length when the window has none
	off     int64
	want    []byte
	rng     *rand.Rand
	dir     string
	resizes bool

	held   *core.Pin // over several steps, nil when there is none
	heldAt int64     // in the share
}

func (m *modelled) run(steps int) {
	defer func() {
		if m.held != nil {
			m.held.Release()
		}
	}()
	for range steps {
		if !m.step() {
			return
		}
	}
}

// step does one thing to a random range of the share, and compares.
func (m *modelled) step() bool {
	a := &action{modelled: m}
	a.from = m.rng.Int64N(share)
	a.n = min(m.rng.Int64N(share-a.from+1), 6000)
	a.at, a.part = m.off+a.from, m.want[a.from:a.from+a.n]
	a.fresh = pattern(int(a.n), byte(m.rng.Uint32()))
	kind := kinds[m.rng.IntN(len(kinds))]
	if kind.rare && m.rng.IntN(8) > 0 || kind.shape && !m.resizes {
		return true
	}
	err := kind.do(a)
	var refused error
	switch {
	case kind.stores && m.b.store != nil:
		refused = m.b.store
	case kind.reaches && m.b.flush != nil:
		refused = m.b.flush
	}
	switch {
	case refused != nil && a.n > 0 && !errors.Is(err, refused):
		m.t.Errorf("%s on [%d, +%d): %v, want %v", kind.name, a.at, a.n, err, refused)
		return false
	case refused != nil:
	case err != nil && !missingHere(err):
		m.t.Errorf("%s on [%d, +%d): %v", kind.name, a.at, a.n, err)
		return false
	case kind.stores && err == nil:
		copy(a.part, a.fresh) // what a store was to leave behind
	}
	return m.compare(kind.name)
}

// compare looks at the share through the window, and at the bytes of the pin
// that is held.
func (m *modelled) compare(after string) bool {
	same := true
	err := m.f.View(func(b []byte) error { same = bytes.Equal(b[m.off:m.off+share], m.want); return nil })
	if err != nil || !same {
		m.t.Errorf("after %s the share at %d differs (%v)", after, m.off, err)
		return false
	}
	if m.held != nil && !bytes.Equal(m.held.Bytes(), m.want[m.heldAt:m.heldAt+m.held.Len()]) {
		m.t.Errorf("after %s the pinned bytes at %d differ", after, m.off+m.heldAt)
		return false
	}
	return true
}

// resize changes what lies behind the shares, in one of the ways there are.
func (m *modelled) resize() error {
	size := m.base + workers*share + m.rng.Int64N(2*MiB)
	switch m.rng.IntN(4) {
	case 0:
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := m.f.TruncateContext(ctx, size); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	case 1:
		c, err := m.f.StartTruncate(size, func(*core.Change) {})
		if err != nil {
			return err
		}
		if c.Cancel() {
			return nil
		}
		return c.Finish()
	case 2:
		c, err := m.f.StartTruncate(size, nil)
		if err != nil {
			return err
		}
		return c.Finish()
	}
	return m.f.Truncate(size)
}

// hold takes a pin to be looked at after later steps, or lets go of the one
// there is. The worker that resizes holds none, as it may have to wait for all
// of them.
func (m *modelled) hold(from, n int64) (err error) {
	if m.resizes {
		return nil
	}
	if m.held != nil {
		m.held.Release()
		m.held = nil
		return nil
	}
	m.held, err = m.f.Pin(m.off+from, n)
	m.heldAt = from
	return err
}
