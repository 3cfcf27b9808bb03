package async_test

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/medium"
	"github.com/fmmap-go/fmmap/internal/sys"
)

const kib = 1 << 10

// unknown opens a file of n bytes on a device of its own, of whose pages nothing
// is known, so that each request for what was not seen goes to the pager.
func unknown(t *testing.T, p *async.Pool, n int) (*async.File, *calls) {
	t.Helper()
	c := watchCalls(t)
	c.failing(sys.OpMincore, errors.ErrUnsupported)
	f := onDisk(t, p, n)
	async.SetMedium(f, medium.Medium{Device: 1, Depth: 64, MaxDepth: 64})
	return f, c
}

// inBubble runs a test on a clock of its own, with a pool whose bound of what was
// read around and not asked for is share bytes.
func inBubble(t *testing.T, share int64, test func(t *testing.T, p *async.Pool)) {
	t.Helper()
	defer async.SetAroundShare(share)()
	still(t, test)
}

// ask requests a page, and waits for all that the pager does then.
func ask(t *testing.T, f *async.File, off int64) {
	t.Helper()
	check(t, f.PageIn(bg, off, 1).Wait())
	synctest.Wait()
}

// What lies around a page is read too, into memory, by one more call.
func TestReadingAround(t *testing.T) {
	p := narrow(t)
	f := cold(t, p, 1<<20)
	check(t, f.PageIn(bg, 260*kib, 1).Wait()) // so that a part of the block is there
	check(t, f.Core().Advise(core.AdviceNormal, 0, 1<<20))
	c := watchCalls(t)
	check(t, f.PageIn(bg, 300*kib, 1).Wait())
	settled(func() bool { return p.Stats().Page.Done == 3 })
	if n := c.of(sys.OpMadvise); n != 3 {
		t.Errorf("calls of madvise: got %d, want two for the page and one for what is around it", n)
	}
	settled(func() bool { // the read is under way
		pages, of, err := f.Core().Resident(256*kib, 64*kib)
		return err != nil || pages == of
	})
	if pages, _, err := f.Core().Resident(0, 1<<20); err != nil || pages > 16 {
		t.Errorf("resident: got %d pages and error %v, want at most the 16 around the page", pages, err)
	}
	if n := f.Stats().Around; n != 64*kib {
		t.Errorf("read around: got %d bytes, want %d", n, 64*kib)
	}
	// One call reports what is in memory there, and serves the rest.
	async.ForgetSeen()
	probes := c.of(sys.OpMincore)
	for i := range int64(16) {
		check(t, f.PageIn(bg, 256*kib+i*4*kib, 1).Wait())
	}
	if s, n := f.Stats(), c.of(sys.OpMincore)-probes; n != 1 || s.Cold != 2 || s.AroundAsked != 64*kib {
		t.Errorf("got %d calls of mincore, %d cold requests and %d bytes asked for, want 1, 2 and %d", n, s.Cold, s.AroundAsked, 64*kib)
	}
}

// Nothing is read around what is advised to be used in random order, and more
// than otherwise around what is in sequence.
func TestAdviceGovernsReadingAround(t *testing.T) {
	for _, tt := range []struct {
		name   string
		advise func(f *core.File) error
		want   uint64
	}{
		{"none", func(*core.File) error { return nil }, 64 * kib},
		{"random", func(f *core.File) error { return f.Advise(core.AdviceRandom, 0, f.Len()) }, 0},
		{"random in part", func(f *core.File) error { return f.Advise(core.AdviceRandom, 0, 64*kib) }, 0},
		{"sequential", func(f *core.File) error { return f.Advise(core.AdviceSequential, 0, f.Len()) }, 512 * kib},
		{"normal again", func(f *core.File) error {
			return errors.Join(f.Advise(core.AdviceRandom, 0, f.Len()), f.Advise(core.AdviceNormal, 0, f.Len()))
		}, 64 * kib},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, 1<<30, func(t *testing.T, p *async.Pool) {
				f, _ := unknown(t, p, 4<<20)
				if err := tt.advise(f.Core()); errors.Is(err, errors.ErrUnsupported) {
					t.Skip(err)
				} else {
					check(t, err)
				}
				ask(t, f, 3<<20)
				if n := f.Stats().Around; n != tt.want {
					t.Errorf("read around: got %d bytes, want %d", n, tt.want)
				}
			})
		})
	}
}

// A block is read around once in a while, however many of its pages are asked
// for.
func TestReadingAroundOncePerBlock(t *testing.T) {
	inBubble(t, 1<<30, func(t *testing.T, p *async.Pool) {
		f, c := unknown(t, p, 1<<20)
		for i := range int64(16) {
			ask(t, f, i*4*kib)
		}
		if n := c.of(sys.OpMadvise); n != 2*16+1 {
			t.Errorf("calls of madvise: got %d, want two for each of 16 pages and one for what is around them", n)
		}
		time.Sleep(async.AroundAgain)
		async.ForgetSeen()
		ask(t, f, 0)
		if n := c.of(sys.OpMadvise); n != 2*17+2 {
			t.Errorf("calls of madvise a while later: got %d, want three more", n)
		}
	})
}

// What is read around a page comes behind all pages that are waited for.
func TestReadingAroundIsLast(t *testing.T) {
	var mu sync.Mutex
	var ops []string
	p := open(t, async.PoolOptions{Hooks: async.Hooks{OnStart: func(_ async.Lane, op string, _ time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		ops = append(ops, op)
	}}})
	f, c := unknown(t, p, 4<<20)
	free := occupyPagers(t, f)
	before := c.of(sys.OpMadvise)
	var in []*async.Future[struct{}]
	for i := range int64(3) {
		in = append(in, f.PageIn(bg, i<<20, 1))
	}
	if n := c.of(sys.OpMadvise) - before; n != 3 {
		t.Errorf("reads that callers started: got %d, want those of the 3 pages", n)
	}
	free()
	for _, in := range in {
		check(t, in.Wait())
	}
	settled(func() bool { return async.Devices(p) == 0 && p.Stats().Page.Done >= 5 })
	check(t, p.Close())
	mu.Lock()
	defer mu.Unlock()
	// While the first is under way, there is no room for another.
	if want := []string{"go", "page-in", "page-in", "page-in", "read around"}; !slices.Equal(ops[len(ops)-5:], want) {
		t.Errorf("tasks of the pager: got %q, want %q", ops, want)
	}
}

// Where a device takes few reads at once, they are those that are waited for.
func TestReadingAroundLeavesTheDepth(t *testing.T) {
	for depth, want := range map[int]uint64{0: 0, 1: 0, 2: 64 * kib, 64: 64 * kib} {
		inBubble(t, 1<<30, func(t *testing.T, p *async.Pool) {
			f, _ := unknown(t, p, 1<<20)
			async.SetMedium(f, medium.Medium{Device: 2, Depth: depth})
			ask(t, f, 0)
			if n := f.Stats().Around; n != want {
				t.Errorf("depth %d: got %d bytes read around, want %d", depth, n, want)
			}
		})
	}
}

// The next block is read around a page when the one before has arrived, as far as
// is known: when a page has that was started after it.
func TestReadingAroundOneBlockAtATime(t *testing.T) {
	inBubble(t, 1<<30, func(t *testing.T, p *async.Pool) {
		f, _ := unknown(t, p, 4<<20)
		defer async.KeepDevice(f)()
		for i, want := range []uint64{64, 64, 128} {
			ask(t, f, int64(i)<<20)
			if n := f.Stats().Around; n != want*kib {
				t.Errorf("read around after page %d: got %d bytes, want %d", i, n, want*kib)
			}
		}
	})
}

// What was read around and not asked for is bounded, for all files of a pool
// together, until it is asked for, or long ago, or its file is closed.
func TestReadingAroundIsBounded(t *testing.T) {
	const share = 256 * kib
	inBubble(t, share, func(t *testing.T, p *async.Pool) {
		f, _ := unknown(t, p, 8<<20)
		g := onDisk(t, p, 8<<20)
		around := func() uint64 { return f.Stats().Around + g.Stats().Around }
		storm := func(first int64) {
			for i := first; i < first+8; i++ {
				ask(t, f, i*256*kib)
				ask(t, g, i*256*kib)
			}
		}
		storm(0)
		if n := around(); n != share || async.Unasked(p) != share {
			t.Fatalf("read around: got %d bytes, of which %d not asked for, want %d", n, async.Unasked(p), share)
		}
		ask(t, f, 8*kib) // a neighbor of the first page: makes room
		storm(8)
		if n := around(); n != share+64*kib || async.Unasked(p) != share {
			t.Errorf("read around after one was asked for: got %d bytes, of which %d not, want %d and %d", n, async.Unasked(p), share+64*kib, share)
		}
		time.Sleep(async.AroundEpoch)
		ask(t, f, 2*256*kib+64*kib)
		if n := around(); n != share+64*kib {
			t.Errorf("read around in the next epoch: got %d bytes, want no more than %d", n, share+64*kib)
		}
		time.Sleep(async.AroundEpoch)
		ask(t, f, 3*256*kib+64*kib)
		if n := around(); n != share+2*64*kib || async.Unasked(p) != 64*kib {
			t.Errorf("read around in the one after that: got %d bytes, of which %d not asked for, want %d and %d", n, async.Unasked(p), share+2*64*kib, 64*kib)
		}
		check(t, f.Close())
		check(t, g.Close())
		if n := async.Unasked(p); n != 0 {
			t.Errorf("not asked for, of closed files: %d bytes", n)
		}
	})
}

// Neighbors that are asked for are read around in larger blocks, up to 1 MiB.
func TestReadingAroundGrows(t *testing.T) {
	inBubble(t, 1<<30, func(t *testing.T, p *async.Pool) {
		const size = 32 << 20
		f, _ := unknown(t, p, size)
		before, largest := uint64(0), uint64(0)
		for off := int64(0); off < size; off += 32 * kib {
			ask(t, f, off)
			n := f.Stats().Around
			if off == 0 && n != 64*kib {
				t.Errorf("around the first page: got %d bytes, want %d", n, 64*kib)
			}
			before, largest = n, max(largest, n-before)
		}
		if s := f.Stats(); largest != 1<<20 || s.Around != size || s.AroundAsked < size*9/10 {
			t.Errorf("got at most %d bytes around a page, %d in all and %d of these asked for, want %d, %d and nearly all", largest, s.Around, s.AroundAsked, 1<<20, size)
		}
	})
}

// Of a quick device four times as much may be under way around requests as of
// another one, and never more than half of what else it is certain to take, so that
// reading goes on.
func TestReadingAroundFollowsTheDevice(t *testing.T) {
	const quick, slow = 100 * time.Microsecond, 20 * time.Millisecond
	for name, c := range map[string]struct {
		medium medium.Medium
		takes  time.Duration // a call for its pages
		want   int64
	}{
		"quick":                   {medium.Medium{Depth: 64, MaxDepth: 64}, quick, 16 << 20},
		"slow":                    {medium.Medium{Depth: 64, MaxDepth: 64}, slow, 4 << 20},
		"quick, of a short queue": {medium.Medium{Depth: 8, MaxDepth: 64}, quick, 4 * medium.Unit},
		"slow, of a short queue":  {medium.Medium{Depth: 8, MaxDepth: 64}, slow, 4 * medium.Unit},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1<<30, func(t *testing.T, p *async.Pool) {
				const size = 64 << 20
				f, _ := unknown(t, p, size)
				async.SetMedium(f, c.medium)
				defer async.KeepDevice(f)()
				defer sys.Inject(func(op sys.Op) error {
					switch op {
					case sys.OpMincore:
						return errors.ErrUnsupported
					case sys.OpMadvise:
						time.Sleep(c.takes)
					}
					return nil
				})()
				most := int64(0)
				for off := int64(0); off < size; off += 32 * kib {
					check(t, f.PageIn(bg, off, 1).Wait())
					most = max(most, async.AroundAllowed(f))
				}
				if n := f.Stats().Around; most != c.want || n < size*9/10 {
					t.Errorf("up to %d bytes may be under way, want %d, and %d of %d were read around", most, c.want, n, size)
				}
			})
		})
	}
}

// Where neighbors are not asked for, nothing is read around pages any more, for a
// while: in a file that does not fit into the share after some blocks, and in one
// that does when chance would have asked for some.
func TestReadingAroundEnds(t *testing.T) {
	const size = 16 << 20
	for name, share := range map[string]int64{"long": size - 1, "short": size} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, share, func(t *testing.T, p *async.Pool) {
				f, _ := unknown(t, p, size)
				ended := int64(-1)
				for off, before := int64(0), uint64(0); off < size; off += 64 * kib {
					ask(t, f, off)
					n := f.Stats().Around
					if n == before {
						ended = off / (64 * kib)
						break
					}
					before = n
					time.Sleep(async.AroundPace / 50)
				}
				if ended < 50 || ended > 80 {
					t.Fatalf("reading around ended after %d pages, want some 64", ended)
				}
				for off := ended * 64 * kib; off < size-2<<20; off += 64 * kib {
					ask(t, f, off)
				}
				if n := f.Stats().Around; n != uint64(ended)*64*kib {
					t.Errorf("read around in the pause: %d bytes", n-uint64(ended)*64*kib)
				}
				time.Sleep(async.AroundPause)
				ask(t, f, size-1)
				if n := f.Stats().Around; n != uint64(ended+1)*64*kib {
					t.Errorf("read around after the pause: got %d bytes, want one block more than %d", n, ended*64*kib)
				}
			})
		})
	}
}

// A device that does not take what is read around a request holds up no other
// one, also once its requests are over.
func TestReadingAroundHoldsUpNoOtherDevice(t *testing.T) {
	p := narrow(t)
	f, g := onDisk(t, p, 1<<20), onDisk(t, p, 1<<20)
	async.SetMedium(f, medium.Medium{Device: 1, Depth: 64})
	async.SetMedium(g, medium.Medium{Device: 2, Depth: 64})
	stuck, quit := make(chan struct{}), make(chan struct{})
	defer close(quit)
	var calls atomic.Int64
	t.Cleanup(sys.Inject(func(op sys.Op) error {
		switch op {
		case sys.OpMincore:
			return errors.ErrUnsupported
		case sys.OpMadvise:
			if calls.Add(1) == 3 { // two are for the page
				close(stuck)
				<-quit
			}
		}
		return nil
	}))
	check(t, f.PageIn(bg, 0, 1).Wait())
	<-stuck
	settled(func() bool { return async.Refs(f) == 0 })
	check(t, g.PageIn(bg, 0, 1).Wait())
}
