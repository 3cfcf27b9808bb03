package core_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// What is remembered to be in memory agrees with a model that has, for each page,
// the epoch in which it was last seen: never more is remembered, and within an epoch
// all of it, of several windows side by side.
func TestSeenAgainstModel(t *testing.T) {
	const pages, page = 1 << 13, 4 << 10
	seed := testutil.Seed(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	var files [3]*core.File
	var seen [len(files)][pages]uint32 // 0 for never
	for i := range files {
		f, err := core.NewAnonymous(pages*page, core.Options{})
		check(t, err)
		defer f.Close()
		files[i] = f
	}
	for range 30_000 {
		i := rng.IntN(len(files))
		off := rng.Int64N(pages * page)
		n := min(r1(rng), pages*page-off)
		first, last := off/page, (off+n-1)/page
		before := core.SeenEpoch()
		switch rng.IntN(16) {
		case 0:
			core.EndSeenEpoch()
		case 1:
			core.ForgetSeen(files[i], off, n)
			for b := off / core.SeenBlock; b <= (off+n-1)/core.SeenBlock; b++ {
				clear(seen[i][b*core.SeenBlock/page : (b+1)*core.SeenBlock/page])
			}
		case 2, 3, 4, 5:
			core.MarkSeen(files[i], off, n)
			for p := first; p <= last; p++ {
				seen[i][p] = before
			}
			if core.SeenEpoch() != before { // which of the two it was is not known
				for p := first; p <= last; p++ {
					seen[i][p] = 0
				}
			}
		default:
			got := core.Seen(files[i], off, n)
			want := true
			for _, at := range seen[i][first : last+1] {
				want = want && at == before
			}
			if got != want && core.SeenEpoch() == before {
				t.Fatalf("[%d, %d) of file %d: %v, want %v", off, off+n, i, got, want)
			}
		}
	}
}

// r1 returns a length of any order.
func r1(rng *rand.Rand) int64 { return rng.Int64N(1<<rng.IntN(22)) + 1 }

// A window that has shrunk and grown again has nothing of what was seen, and one
// that grows keeps it until it outgrows its places in the table. Advice that evicts
// pages and a hole forget it.
func TestSeenIsForgotten(t *testing.T) {
	const size = 256 * KiB
	f := opened(t, tempFile(t, pattern(size, 1)), core.Options{Access: core.ReadWrite})
	steady := func(do func() bool) bool {
		for {
			epoch := core.SeenEpoch()
			core.MarkSeen(f, 0, f.Len())
			if got := do(); core.SeenEpoch() == epoch {
				return got
			}
		}
	}
	for name, do := range map[string]func(){
		"shrink": func() { check(t, f.Truncate(size/2)); check(t, f.Truncate(size)) },
		"evict":  func() { check(t, f.Advise(core.AdviceDontNeed, 0, f.Len())) },
		"punch":  func() { _ = f.PunchHole(0, f.Len()) },
	} {
		if steady(func() bool { do(); return core.Seen(f, size/2-10, 20) || core.SeenWhole(f, size/2-10, 20) }) {
			t.Errorf("%s: seen still", name)
		}
	}
	check(t, f.Truncate(size+size/2))
	if !steady(func() bool { check(t, f.Truncate(2*size)); return core.Seen(f, 0, size) }) {
		t.Error("growing has forgotten what was seen")
	}
}

// What was seen in the last epoch is looked at by blocks and by sections, and read
// from the map as long as it is in memory.
func TestSeenIsLookedAtAgain(t *testing.T) {
	const size = 4 * MiB
	f := reading(t, pattern(size, 1), core.Options{})
	if _, _, err := f.Resident(0, 1); err != nil {
		t.Skip(err)
	}
	if !sys.ResidentAtOnce() {
		t.Skip("a look is a call for each page here, so nothing is looked at")
	}
	check(t, f.Populate(0, size))
	b := make([]byte, 100)
	check(t, second(f.ReadAt(b, 5*core.SeenBlock/2)))
	core.EndSeenEpoch()
	reads, looks := failing(t, sys.OpPread, -1, nil), 0
	for i := range int64(core.SeenBlock / 100) {
		check(t, second(f.ReadAt(b, 2*core.SeenBlock+i*100)))
	}
	if reads() > 0 {
		t.Errorf("%d reads of what is in memory", reads())
	}
	mincores := failing(t, sys.OpMincore, -1, nil)
	core.EndSeenEpoch()
	epoch := core.SeenEpoch()
	for i := range int64(core.SeenBlock / 100) {
		check(t, second(f.ReadAt(b, 2*core.SeenBlock+i*100)))
	}
	if looks = mincores(); looks > 4 && core.SeenEpoch() == epoch {
		t.Errorf("%d looks in an epoch, want one at the block and one at the section", looks)
	}
	if core.SeenEpoch() == epoch && !core.SeenWhole(f, 5*core.SeenBlock/2, 100) && core.SeenEpoch() == epoch {
		t.Error("the section was not seen whole")
	}
}

// Seen agrees for a file and a pin, asks the system nothing, and is true of what was
// read, brought in, or found in memory, and of memory of the heap.
func TestSeen(t *testing.T) {
	const size = 256 * KiB
	for name, see := range map[string]func(f *core.File, p *core.Pin, off, n int64) error{
		"populated":  func(f *core.File, _ *core.Pin, off, n int64) error { return f.Populate(off, n) },
		"by the pin": func(_ *core.File, p *core.Pin, _, _ int64) error { return p.Populate() },
		"read":       func(f *core.File, _ *core.Pin, off, n int64) error { return second(f.ReadAt(make([]byte, n), off)) },
	} {
		f := opened(t, tempFile(t, pattern(size, 1)), core.Options{Access: core.ReadWrite, Offset: 100})
		p := pinned(t, f, 70*KiB, 64*KiB)
		looks := failing(t, sys.OpMincore, -1, nil)
		for {
			epoch := core.SeenEpoch()
			core.ForgetSeen(f, 0, f.Len())
			before := f.Seen(70*KiB, 64*KiB) || p.Seen()
			check(t, see(f, p, 70*KiB, 64*KiB))
			after, neighbors := f.Seen(70*KiB, 64*KiB) && p.Seen(), f.Seen(0, 4*KiB) || f.Seen(size-4*KiB, 100)
			if core.SeenEpoch() != epoch {
				continue
			}
			if before || !after && (name != "read" || sys.CanLoad(f.Fd())) || neighbors {
				t.Errorf("%s: seen before %v, after %v, neighbors %v", name, before, after, neighbors)
			}
			break
		}
		if looks() > 0 {
			t.Errorf("%s: %d system calls", name, looks())
		}
		if f.Seen(size-10, 200) || f.Seen(-1, 1) || f.Seen(0, -1) {
			t.Errorf("%s: what does not lie in the window was seen", name)
		}
		p.Release()
		check(t, f.Close())
		if f.Seen(0, 0) || p.Seen() {
			t.Errorf("%s: seen after Close and Release", name)
		}
	}
	m := core.NewMemory("memory", make([]byte, 10))
	if !m.Seen(0, 10) || m.Seen(0, 11) {
		t.Error("memory of the heap was not seen, or more than that")
	}
}

// Two files that are created empty have places of their own in the table when they
// have grown, and so has each of two that shrink and grow again.
func TestGrownFilesShareNoPlaces(t *testing.T) {
	reading(t, pattern(64*KiB, 1), core.Options{})
	var files [2]*core.File
	for i := range files {
		files[i] = opened(t, tempFile(t, nil), core.Options{Access: core.ReadWrite})
	}
	b := make([]byte, 8)
	for _, size := range []int64{4 * MiB, 5 * MiB, 0, 9 * MiB} {
		for _, f := range files {
			check(t, f.Truncate(size))
			check(t, second(f.WriteAt(pattern(int(size), 1), 0)))
		}
		if size == 0 {
			continue
		}
		reads := failing(t, sys.OpPread, -1, nil)
		for i := range 10_000 {
			check(t, second(files[i%2].ReadAt(b, 100)))
		}
		if n := reads(); n > 100 {
			t.Errorf("%d of 10000 reads at %d bytes were system calls", n, size)
		}
	}
}

// A timer that was started in a bubble of package synctest goes with the bubble.
// The next thing that is seen starts another.
func TestEpochsEndAfterABubble(t *testing.T) {
	name := tempFile(t, pattern(64*KiB, 1))
	see := func(t *testing.T) {
		f := opened(t, name, core.Options{})
		check(t, f.Populate(0, f.Len()))
	}
	ends := func(t *testing.T) {
		t.Helper()
		epoch := core.SeenEpoch()
		see(t)
		testutil.WaitUntil(t, "the epoch ends", func() bool { return core.SeenEpoch() != epoch })
	}
	ends(t)
	synctest.Test(t, see)
	ends(t)
	synctest.Test(t, ends)
}

// Where a look at a block is a system call for each of its pages, none is made: one
// read costs less.
func TestNothingIsLookedAtPageByPage(t *testing.T) {
	f := reading(t, pattern(4*MiB, 1), core.Options{})
	t.Cleanup(sys.Disable(sys.CallMincore))
	count, restore := sys.CountCalls()
	t.Cleanup(restore)
	check(t, f.Populate(0, f.Len()))
	reads := failing(t, sys.OpPread, -1, nil)
	const rounds = 6
	for i := range int64(rounds) {
		core.EndSeenEpoch()
		check(t, second(f.ReadAt(make([]byte, 8), MiB+i*4*KiB)))
	}
	// Where a read that does not wait is refused, each is followed by one that may.
	if n := count(sys.CallReadNowait); n > rounds || reads() < rounds || reads() > 2*rounds {
		t.Errorf("%d looks, or reads of what is in memory, and %d reads, want one of these a round", n, reads())
	}
}
