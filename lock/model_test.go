package lock_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

// A party is one lock of the model, and what the model believes it to hold.
type party struct {
	l      *lock.Lock
	owner  *party // that it is nested in; nil
	lo, hi int    // bytes, both included
	mode   lock.Mode
}

// A wish is a request that may have to wait.
type wish struct {
	*party
	want   lock.Mode
	holds  bool // or has held since, or what it is nested in
	cancel context.CancelFunc
	told   bool
	err    error
}

func (p *party) within(q *party) bool {
	for ; p != nil; p = p.owner {
		if p == q {
			return true
		}
	}
	return false
}

func (p *party) overlaps(q *party) bool { return p.lo <= q.hi && q.lo <= p.hi }

// bars says whether w waits for p itself, or for what p is nested in.
func (p *party) bars(w *wish) bool {
	for ; p != nil; p = p.owner {
		if w.blockedBy(p) {
			return true
		}
	}
	return false
}

func (w *wish) blockedBy(h *party) bool {
	return clash(w.want, h.mode) && w.overlaps(h) && !w.within(h)
}

// clash says whether the two exclude each other; 0 excludes nobody.
func clash(a, b lock.Mode) bool {
	return a != 0 && b != 0 && (a == lock.Exclusive || b == lock.Exclusive)
}

// A court is the simplest thing that could be right: it knows who holds and who waits, in order, and grants nothing
// itself, but judges what the package grants and what it does not.
type court struct {
	parties []*party
	wishes  []*wish // that wait, in the order they came
	files   []*os.File
}

func newCourt(t *testing.T, k kind, r *rand.Rand) *court {
	name := tempFile(t)
	f, g := open(t, name), open(t, name)
	c := &court{files: []*os.File{f, g}}
	for i := range 6 {
		p := &party{hi: 15}
		file := f
		if i%2 == 1 {
			file = g
		}
		if p.l = lock.New(file); k.op == sys.OpOFD {
			p.lo = r.IntN(16)
			p.hi = p.lo + r.IntN(16-p.lo)
			p.l = p.l.Range(int64(p.lo), int64(p.hi-p.lo+1))
		}
		c.parties = append(c.parties, p)
	}
	for range 4 {
		o := c.parties[r.IntN(len(c.parties))]
		c.parties = append(c.parties, &party{l: o.l.Nested(), owner: o, lo: o.lo, hi: o.hi})
	}
	return c
}

// step does something at random, and then hears what it has led to.
func (c *court) step(t *testing.T, r *rand.Rand) {
	p, m := c.parties[r.IntN(len(c.parties))], lock.Shared
	if r.IntN(2) == 0 {
		m = lock.Exclusive
	}
	switch what := r.IntN(10); {
	case what < 5:
		c.ask(t, p, m)
	case what < 6 && len(c.wishes) > 0:
		c.wishes[r.IntN(len(c.wishes))].cancel()
	default:
		err := p.l.Release()
		if held := p.mode != 0; held != (err == nil) {
			t.Fatalf("Release() = %v, held: %v", err, held)
		}
		p.mode = 0
	}
	synctest.Wait()
	c.hear(t)
	c.judge(t)
}

func (c *court) ask(t *testing.T, p *party, m lock.Mode) {
	if slices.ContainsFunc(c.wishes, func(w *wish) bool { return w.party == p }) {
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &wish{party: p, want: m, cancel: cancel}
	c.wishes = append(c.wishes, w)
	p.l.AcquireFunc(ctx, m, func(err error) { w.told, w.err = true, err })
}

// hear takes note of those who have been told something. Nobody may have overtaken one who came earlier, waits still
// and wants the same bytes, but who holds, or is nested in what is held: that one may be waited for.
func (c *court) hear(t *testing.T) {
	var waiting []*wish
	var granted []func()
	for _, w := range c.wishes {
		if !w.told {
			waiting = append(waiting, w)
			continue
		}
		w.cancel()
		switch {
		case w.err == nil:
			ahead := slices.Clone(waiting)
			granted = append(granted, func() { w.overtook(t, ahead) })
			w.look()
			w.mode = w.want
		case !errors.Is(w.err, context.Canceled) && !errors.Is(w.err, lock.ErrDeadlock):
			t.Errorf("told %v", w.err)
		}
	}
	c.wishes = waiting
	for _, check := range granted { // now that the modes of all owners are known
		check()
	}
	for _, w := range waiting {
		w.look()
	}
}

// look notes whether w converts, or is nested in what is held.
func (w *wish) look() {
	for p := w.party; p != nil; p = p.owner {
		w.holds = w.holds || p.mode != 0
	}
}

func (w *wish) overtook(t *testing.T, ahead []*wish) {
	for o := w.owner; o != nil; o = o.owner {
		w.holds = w.holds || o.mode != 0
	}
	for _, o := range ahead {
		if !w.holds && clash(w.want, o.want) && w.overlaps(o.party) {
			t.Errorf("%v of [%d, %d] was granted before %v of [%d, %d]", w.want, w.lo, w.hi, o.want, o.lo, o.hi)
		}
	}
}

// judge looks at who holds and who waits.
func (c *court) judge(t *testing.T) {
	for _, p := range c.parties {
		wantHeld(t, p.l, p.mode)
		for _, q := range c.parties {
			if p != q && p.overlaps(q) && clash(p.mode, q.mode) && !p.within(q) && !q.within(p) {
				t.Errorf("%v of [%d, %d] and %v of [%d, %d] are held at once", p.mode, p.lo, p.hi, q.mode, q.lo, q.hi)
			}
		}
	}
	for _, w := range c.wishes {
		blocked := slices.ContainsFunc(c.parties, w.blockedBy)
		behind := slices.ContainsFunc(c.wishes, func(o *wish) bool {
			return o != w && clash(w.want, o.want) && w.overlaps(o.party) && !w.bars(o)
		})
		if !blocked && !behind {
			t.Errorf("%v of [%d, %d] waits for nobody", w.want, w.lo, w.hi)
		}
	}
}

// close has all who hold release, and those who are granted then, until nobody is left.
func (c *court) close(t *testing.T) {
	for range 2 * len(c.parties) {
		for _, p := range c.parties {
			if p.mode != 0 {
				release(t, p.l)
				p.mode = 0
				c.hear(t)
				c.judge(t)
			}
		}
	}
	if len(c.wishes) != 0 {
		t.Errorf("%d wait for ever", len(c.wishes))
	}
	for _, f := range c.files { // there are many, and descriptors may be few
		f.Close()
	}
}

// TestQueueAgainstModel has locks of two files, nested ones among them, ask, give up and release at random.
func TestQueueAgainstModel(t *testing.T) {
	seed := testutil.Seed(t)
	still(t, func(t *testing.T, k kind) {
		r := rand.New(rand.NewPCG(seed, 0))
		for range 50 {
			c := newCourt(t, k, r)
			for range 100 {
				if c.step(t, r); t.Failed() {
					return
				}
			}
			c.close(t)
		}
	})
}
