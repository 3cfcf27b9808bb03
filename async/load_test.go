package async_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// cold returns a file on disk of which nothing is in memory, and whose pages come
// in only by request.
func cold(t testing.TB, p *async.Pool, n int) *async.File {
	t.Helper()
	f := onDisk(t, p, n)
	_ = f.Core().Advise(core.AdviceRandom, 0, int64(n)) // a hint, which Linux has
	chill(t, f)
	if pages, _, err := f.Core().Resident(0, int64(n)); err != nil || pages != 0 {
		t.Skipf("the file is not cold: %d pages are resident, or error %v", pages, err)
	}
	if sys.CallMincore.Missing() {
		t.Skip("where mincore is refused, asking what is resident brings pages in")
	}
	return f
}

// What PageIn has brought in is resident. A missing range costs one WILLNEED and
// one populate, and one that is known to be resident costs no system call.
func TestPageInMakesResident(t *testing.T) {
	still(t, func(t *testing.T, p *async.Pool) {
		const size = 1 << 20
		f := cold(t, p, size)
		c := watchCalls(t)
		check(t, f.PageIn(bg, 5000, 10_000).Wait())
		if pages, of, err := f.Core().Resident(5000, 10_000); err != nil || pages < of {
			t.Errorf("resident after PageIn: %d pages of %d, error %v", pages, of, err)
		}
		if n := c.of(sys.OpMadvise); n != 2 {
			t.Errorf("calls of madvise for cold pages: got %d, want 2", n)
		}
		before := c.of(sys.OpMadvise) + c.of(sys.OpMincore)
		check(t, f.PageIn(bg, 5000, 10_000).Wait())
		check(t, f.PageIn(bg, 4096, 1).Wait()) // a part of a page that was
		if n := c.of(sys.OpMadvise) + c.of(sys.OpMincore) - before; n != 0 {
			t.Errorf("system calls for pages that were seen: got %d, want 0", n)
		}
		s := f.Stats()
		if s.Cold != 1 || s.Seen != 2 || s.Probed != 0 {
			t.Errorf("stats: got %d cold, %d seen, %d probed, want 1, 2, 0", s.Cold, s.Seen, s.Probed)
		}
		async.ForgetSeen()
		check(t, f.PageIn(bg, 5000, 10_000).Wait())
		if s = f.Stats(); s.Probed != 1 || s.Cold != 1 {
			t.Errorf("stats after it was forgotten: got %d probed, %d cold, want 1, 1", s.Probed, s.Cold)
		}
	})
}

// What counts as seen are the pages that were brought in, and not their neighbors.
func TestSeenAreThesePages(t *testing.T) {
	still(t, func(t *testing.T, p *async.Pool) {
		// Without probes, TryLoad finds what was seen and nothing else, also on a
		// file system that keeps its files in memory.
		watchCalls(t).failing(sys.OpMincore, errors.ErrUnsupported)
		for _, offset := range []int64{0, 100, 4096, 70_000} {
			name := diskFile(t, pattern(1<<20))
			f := opened(t, p, name, core.Options{Offset: offset})
			const at = 200_000
			check(t, f.PageIn(bg, at, 1).Wait())
			page := int64(os.Getpagesize())
			first := (at+offset)&^(page-1) - offset
			for _, c := range []struct {
				off  int64
				want bool
			}{{first - 1, false}, {first, true}, {first + page - 1, true}, {first + page, false}} {
				pin, ok := f.TryLoad(c.off, 1)
				if ok {
					pin.Release()
				}
				if ok != c.want {
					t.Errorf("window from %d, page %d to %d is in, TryLoad of byte %d: got %v, want %v",
						offset, first, first+page, c.off, ok, c.want)
				}
			}
		}
	})
}

// A range that ends beyond the file is an error, for every operation that can
// detect it.
func TestLoadOfTruncatedFile(t *testing.T) {
	p := open(t, async.PoolOptions{})
	f := cold(t, p, 1<<20)
	check(t, os.Truncate(f.Core().Name(), 100_000)) // by another descriptor
	_, err := f.Load(bg, 200_000, 10).Await(bg)
	wantErr(t, "Load", err, core.ErrFault)
	wantErr(t, "PageIn", f.PageIn(bg, 90_000, 200_000).Wait(), core.ErrFault)
	wantErr(t, "PageIn of more than a step", f.PageIn(bg, 0, 1<<20).Wait(), core.ErrFault)
	_, err = f.ReadAt(bg, make([]byte, 10), 200_000).Await(bg)
	wantErr(t, "ReadAt", err, core.ErrFault)
	_, err = f.WriteAt(bg, make([]byte, 10), 200_000).Await(bg)
	wantErr(t, "WriteAt", err, core.ErrFault)
	want(t, f.ReadAt(bg, make([]byte, 10), 0), 10, nil)
	check(t, f.Truncate(bg, 0).Wait()) // waits for pins, if any was left
}

// Large requests are paged in step by step.
func TestPageInLarge(t *testing.T) {
	const size = 9<<20 + 5000
	p := narrow(t)
	f := cold(t, p, size)
	check(t, f.PageIn(bg, 100, size-200).Wait())
	if pages, of, err := f.Core().Resident(100, size-200); err != nil || pages < of {
		t.Errorf("resident after PageIn: %d pages of %d, error %v", pages, of, err)
	}
	t.Run("until its context is done", func(t *testing.T) {
		chill(t, f)
		async.ForgetSeen()
		ctx, cancel := context.WithCancelCause(bg)
		c := watchCalls(t)
		arrived, release := c.hold(t, sys.OpMadvise, 4) // the first WILLNEED and two steps except for the end of the second
		in := f.PageIn(ctx, 0, size)
		<-arrived
		cause := errors.New("enough")
		cancel(cause)
		release()
		wantErr(t, "PageIn", in.Wait(), cause)
		if n := c.of(sys.OpMadvise); n > 6 {
			t.Errorf("calls of madvise: got %d, want no more after the step under way", n)
		}
	})
	// What lies beyond the new end is brought in all the same, since its pin holds
	// the shrink up.
	t.Run("while the window shrinks", func(t *testing.T) {
		chill(t, f)
		async.ForgetSeen()
		c := watchCalls(t)
		arrived, release := c.hold(t, sys.OpMadvise, 2)
		load := f.Load(bg, 0, size)
		<-arrived
		cut := f.Truncate(bg, 1<<20)
		pending(t, cut)
		release()
		pin, err := load.Await(bg)
		check(t, err)
		if pages, of, err := pin.Resident(); err != nil || pages < of {
			t.Errorf("resident after Load: %d pages of %d, error %v", pages, of, err)
		}
		pin.Release()
		check(t, cut.Wait())
	})
}

// The caller touches no cold page. Where no read can be started, and the pager and
// the lane for stores are busy, what was cold before the calls is cold after them.
func TestCallersTouchNothing(t *testing.T) {
	const size = 200_000
	p := narrow(t)
	f := cold(t, p, size)
	free, freeStores := occupy(t, p, async.LanePage), occupyStores(t, f)
	c := watchCalls(t)
	c.failing(sys.OpMadvise, errors.ErrUnsupported) // or WILLNEED would bring it in
	load, in := f.Load(bg, 0, size), f.PageIn(bg, 0, size)
	read, write := f.ReadAt(bg, make([]byte, 10), 50_000), f.WriteAt(bg, make([]byte, 10), 100_000)
	c.failing(sys.OpMadvise, nil)
	pages, _, err := f.Core().Resident(0, size)
	check(t, err)
	if pages != 0 {
		t.Errorf("%d pages have come in while the lanes were busy", pages)
	}
	free()
	freeStores()
	check(t, in.Wait())
	want(t, read, 10, nil)
	want(t, write, 10, nil)
	pin, err := load.Await(bg)
	check(t, err)
	pin.Release()
}

// Where the system does not report what is resident, everything goes to the
// pager, and the system is not asked again.
func TestLoadWithoutProbe(t *testing.T) {
	p := open(t, async.PoolOptions{})
	f := onDisk(t, p, 100_000)
	t.Cleanup(sys.Disable(sys.CallMincore))
	t.Cleanup(sys.Disable(sys.CallReadNowait))
	if _, _, err := f.Core().Resident(0, 1); err == nil {
		t.Skip("this system has another call that reports what is resident")
	}
	count, restore := sys.CountCalls()
	t.Cleanup(restore)
	for range 3 {
		async.ForgetSeen()
		pin, err := f.Load(bg, 0, 100_000).Await(bg)
		check(t, err)
		pin.Release()
	}
	if s := f.Stats(); s.Cold != 3 || s.Probed != 0 {
		t.Errorf("stats: got %d cold, %d probed, want 3, 0", s.Cold, s.Probed)
	}
	if n := count(sys.CallMincore) + count(sys.CallReadNowait); n != 0 {
		t.Errorf("system calls to see what is resident: got %d, want 0", n)
	}
}

// Each request that brought pages in is timed once, by the file and by its pool,
// however many steps it took. What was resident, what failed and what only shares
// the lane is not.
func TestPageInsAreTimed(t *testing.T) {
	const size = 5 << 20 // three steps
	p := open(t, async.PoolOptions{})
	f, other := onDisk(t, p, size), onDisk(t, p, 4096)
	if n := f.Stats().PageIn.Count() + p.Stats().PageIn.Count(); n != 0 {
		t.Errorf("timed before the first request: %d", n)
	}
	t.Cleanup(sys.Disable(sys.CallMincore)) // all that was not seen is cold
	t.Cleanup(sys.Disable(sys.CallReadNowait))
	if _, _, err := f.Core().Resident(0, 1); err == nil {
		t.Skip("this system has another call that reports what is resident")
	}
	check(t, f.PageIn(bg, 0, size).Wait())
	check(t, f.PageIn(bg, 0, size).Wait()) // as it was seen
	async.ForgetSeen()
	want(t, f.ReadAt(bg, make([]byte, 10), 0), 10, nil)
	check(t, other.PageIn(bg, 0, 1).Wait())
	wantErr(t, "past the end", f.PageIn(bg, size, 1).Wait(), core.ErrRange)
	async.ForgetSeen()
	want(t, f.WriteAt(bg, make([]byte, 10), 0), 10, nil)
	s, o, all := f.Stats().PageIn, other.Stats().PageIn, p.Stats().PageIn
	if s.Count() != 2 || o.Count() != 1 || all != s.Plus(o) || s.Sum <= 0 {
		t.Errorf("timed: %+v and %+v, the pool has %+v; want 2 and 1, and both together", s, o, all)
	}
	check(t, f.Flush().Wait())
	check(t, f.Close())
	again := f.Stats()
	if again.PageIn != s || p.Stats().PageIn != all {
		t.Errorf("after Close: %+v, the pool %+v", again.PageIn, p.Stats().PageIn)
	}
	if ps := p.Stats(); again.Flush.Wait.Count() != 1 || ps.FlushWait != again.Flush.Wait || ps.FlushRun != again.Flush.Run {
		t.Errorf("flushes timed: %+v, by the pool %+v and %+v", again.Flush, ps.FlushWait, ps.FlushRun)
	}
}

// What is resident counts as that, whether mincore is there to say so or, in a
// sandbox that refuses it, another call; and the refusal is learnt once.
func TestResidentBlocksAreNotCold(t *testing.T) {
	const block, blocks = 16 << 10, 2000
	p := open(t, async.PoolOptions{})
	f := onDisk(t, p, block*blocks)
	check(t, f.Core().Populate(0, block*blocks))
	if _, _, err := f.Core().Resident(0, 1); errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("this system does not report what is resident: %v", err)
	}
	count, restore := sys.CountCalls()
	t.Cleanup(restore)
	for i := range int64(blocks) {
		async.ForgetSeen()
		pin, err := f.Load(bg, i*block, block).Await(bg)
		check(t, err)
		pin.Release()
	}
	if s := f.Stats(); s.Cold != 0 || s.Probed != blocks {
		t.Errorf("stats: got %d cold, %d probed, want 0, %d", s.Cold, s.Probed, blocks)
	}
	if n := count(sys.CallMincore); sys.CallMincore.Missing() && n != 0 {
		t.Errorf("calls of mincore, which is refused: got %d, want 0", n)
	}
}

// Where the system cannot start to read, the pager reads.
func TestLoadWithoutWillNeed(t *testing.T) {
	p := open(t, async.PoolOptions{})
	f := cold(t, p, 100_000)
	t.Cleanup(sys.Disable(sys.CallPopulate))
	pin, err := f.Load(bg, 5000, 50_000).Await(bg)
	check(t, err)
	pin.Release()
}

// Load of resident bytes has resolved when it returns, with all lanes occupied, and
// PageIn of them allocates nothing.
func TestLoadOfResidentIsResolved(t *testing.T) {
	still(t, testLoadOfResident)
}

func testLoadOfResident(t *testing.T, p *async.Pool) {
	free := occupy(t, p, async.LaneShort, async.LaneFlush, async.LanePage, async.LaneMeta)
	defer free()
	f := async.Wrap(p, core.NewMemory("memory", pattern(100_000)))
	for range 2 {
		pin, err, ok := f.Load(bg, 0, 50_000).TryResult()
		if !ok || err != nil {
			t.Fatalf("Load of resident bytes: resolved %v, error %v", ok, err)
		}
		pin.Release()
	}
	if s := f.Stats(); s.Seen != 2 || s.Probed != 0 || s.Cold != 0 {
		t.Errorf("stats: got %d seen, %d probed, %d cold, want 2, 0, 0", s.Seen, s.Probed, s.Cold)
	}
	if n := testing.AllocsPerRun(100, func() { f.PageIn(bg, 5, 50) }); n != 0 {
		t.Errorf("PageIn: %v allocations, want 0", n)
	}
}

// A resource that arrives when its context is done, or in a future that is
// collected, is released.
func TestLateLoadIsReleased(t *testing.T) {
	p := narrow(t)
	t.Run("context done while it runs", func(t *testing.T) {
		f := cold(t, p, 100_000)
		arrived, release := watchCalls(t).hold(t, sys.OpMadvise, 1)
		ctx, cancel := context.WithCancel(bg)
		load := f.Load(ctx, 0, 10)
		<-arrived
		cancel()
		release()
		wantErr(t, "Load", load.Wait(), context.Canceled)
		check(t, f.Truncate(bg, 0).Wait()) // waits for pins
	})
	t.Run("context done while it is queued", func(t *testing.T) {
		f := cold(t, p, 100_000)
		free := occupy(t, p, async.LanePage)
		ctx, cancel := context.WithCancel(bg)
		load, page := f.Load(ctx, 0, 10), f.PageIn(ctx, 10_000, 10) // pages of their own, all cold
		read := f.ReadAt(ctx, make([]byte, 10), 20_000)
		cancel()
		free()
		wantErr(t, "Load", load.Wait(), context.Canceled)
		wantErr(t, "PageIn", page.Wait(), context.Canceled)
		wantErr(t, "ReadAt", read.Wait(), context.Canceled)
		check(t, f.Truncate(bg, 0).Wait())
	})
	t.Run("canceled", func(t *testing.T) {
		f := cold(t, p, 100_000)
		free := occupy(t, p, async.LanePage)
		defer free()
		freeStores := occupyStores(t, f)
		load, page := f.Load(bg, 0, 10), f.PageIn(bg, 10_000, 10)
		read, write := f.ReadAt(bg, make([]byte, 10), 20_000), f.WriteAt(bg, make([]byte, 10), 30_000)
		for i, cancelled := range []bool{load.Cancel(nil), page.Cancel(nil), read.Cancel(nil), write.Cancel(nil)} {
			if !cancelled {
				t.Errorf("%d: Cancel of what is queued: got false", i)
			}
		}
		free()
		freeStores()
		check(t, f.Truncate(bg, 0).Wait())
	})
	t.Run("lane full", func(t *testing.T) {
		p := open(t, async.PoolOptions{Page: async.LaneOptions{Width: 1, Queue: 1}})
		f := cold(t, p, 100_000)
		free := occupy(t, p, async.LanePage)
		queued := f.PageIn(bg, 0, 10)
		wantErr(t, "Load", f.Load(bg, 10_000, 10).Wait(), async.ErrOverloaded)
		wantErr(t, "PageIn", f.PageIn(bg, 20_000, 10).Wait(), async.ErrOverloaded)
		wantErr(t, "ReadAt", f.ReadAt(bg, make([]byte, 10), 30_000).Wait(), async.ErrOverloaded)
		wantErr(t, "large ReadAt", f.ReadAt(bg, make([]byte, 90_000), 5000).Wait(), async.ErrOverloaded)
		freeStores := occupyStores(t, f)
		write := f.WriteAt(bg, []byte("queued"), 99_000)
		wantErr(t, "WriteAt", f.WriteAt(bg, make([]byte, 10), 99_000).Wait(), async.ErrOverloaded)
		freeStores()
		want(t, write, 6, nil)
		free()
		check(t, queued.Wait())
		check(t, f.Truncate(bg, 0).Wait())
	})
	t.Run("dropped", func(t *testing.T) {
		f := cold(t, p, 100_000)
		for range 10 {
			done := f.Load(bg, 0, 10).Done() // cold at first, then resident
			<-done
		}
		collected(t, f.Truncate(bg, 0))
	})
	t.Run("file opened and dropped", func(t *testing.T) {
		name := diskFile(t, pattern(100))
		<-async.Open(bg, p, name, core.Options{Access: core.ReadWrite}).Done()
		settledGC(func() bool { // its lock goes with it
			f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite})
			if err == nil {
				check(t, f.Close())
			}
			return err == nil
		})
	})
	t.Run("lock acquired and dropped", func(t *testing.T) {
		f := onDisk(t, p, 100)
		<-f.Lock(bg, 2).Done()
		settledGC(func() bool { return async.Locks(f) == 0 })
	})
}

// collected waits for a future that needs the garbage collector to resolve.
func collected(t testing.TB, f *async.Future[struct{}]) {
	t.Helper()
	settledGC(func() bool { _, _, ok := f.TryResult(); return ok })
	check(t, f.Wait())
}

func settledGC(done func() bool) {
	settled(func() bool { runtime.GC(); return done() })
}

// The caller does not copy many bytes, nor cold ones.
func TestCopiesOfManyBytes(t *testing.T) {
	const size = 1 << 20
	p := narrow(t)
	f := cold(t, p, size)
	buf := make([]byte, size)
	freePage, freeShort := occupy(t, p, async.LanePage), occupy(t, p, async.LaneShort)
	small, large := f.ReadAt(bg, buf[:10], 0), f.ReadAt(bg, buf[10_000:], 10_000)
	pending(t, small)
	pending(t, large)
	freePage()
	want(t, small, 10, nil) // the pager copies it
	check(t, f.PageIn(bg, 0, size).Wait())
	pending(t, large)
	freeShort()
	want(t, large, size-10_000, nil)
}

// A store is made in the caller where the page has just been made writable, and
// else on a lane for stores, which no read waits for and which waits for none.
func TestStoresHaveALane(t *testing.T) {
	const size = 8 << 20
	p := narrow(t)
	f := cold(t, p, size)
	freeShort := occupy(t, p, async.LaneShort)
	free := occupyStores(t, f)
	small, large := f.WriteAt(bg, []byte("small"), 5000), f.WriteAt(bg, make([]byte, 5<<20), 2<<20)
	pending(t, small)
	pending(t, large)
	want(t, f.ReadAt(bg, make([]byte, 10), 100_000), 10, nil)
	check(t, f.Load(bg, 200_000, 4096).Wait())
	free()
	want(t, small, 5, nil)
	want(t, large, 5<<20, nil)
	seen := f.Stats().Seen
	for f.Stats().Seen == seen {
		want(t, f.WriteAt(bg, []byte("other"), 6000), 5, nil)
	}
	freeShort()
	got := make([]byte, 5)
	want(t, f.ReadAt(bg, got, 6000), 5, nil)
	if string(got) != "other" {
		t.Errorf("got %q", got)
	}
	if _, err := f.WriteAt(bg, make([]byte, 5<<20), 4<<20).Await(bg); !errors.Is(err, core.ErrRange) {
		t.Errorf("past the end: %v", err)
	}
}

// occupyStores keeps the lane for stores to the file's device busy.
func occupyStores(t *testing.T, f *async.File) (free func()) {
	t.Helper()
	quit := make(chan struct{})
	free = sync.OnceFunc(func() { close(quit) })
	t.Cleanup(free)
	check(t, async.OccupyStores(f, quit))
	return free
}

// A cold WriteAt that was accepted before Close succeeds: Close waits for the
// copy.
func TestColdWriteBeforeClose(t *testing.T) {
	p := narrow(t)
	f := cold(t, p, 100_000)
	name := f.Core().Name()
	free := occupyStores(t, f)
	write := f.WriteAt(bg, []byte("accepted"), 5000)
	closing := f.StartClose(bg)
	pending(t, closing)
	free()
	want(t, write, 8, nil)
	check(t, closing.Wait())
	b, err := os.ReadFile(name)
	check(t, err)
	if got := string(b[5000:5008]); got != "accepted" {
		t.Errorf("the file has %q, want what was written", got)
	}
}

// A long Load is brought in step by step, each behind what was queued meanwhile:
// a short PageIn waits for one step and not for all.
func TestLongLoadLetsShortOnesPass(t *testing.T) {
	const size, steps = 8 << 20, 32
	var mu sync.Mutex
	var ops []string
	p := open(t, async.PoolOptions{
		Page: async.LaneOptions{Width: 1},
		Hooks: async.Hooks{OnDone: func(l async.Lane, op string, _ time.Duration, _ error) {
			if l == async.LanePage {
				mu.Lock()
				defer mu.Unlock()
				ops = append(ops, op)
			}
		}},
	})
	long, short := cold(t, p, size), cold(t, p, 10_000)
	free := occupy(t, p, async.LanePage)
	load, in := long.Load(bg, 0, size), short.PageIn(bg, 0, 10)
	free()
	check(t, in.Wait())
	pin, err := load.Await(bg)
	check(t, err)
	pin.Release()
	mu.Lock()
	defer mu.Unlock()
	if got, want := ops[:3], []string{"go", "load", "page-in"}; !slices.Equal(got, want) {
		t.Errorf("first tasks of the pager: got %q, want %q", got, want)
	}
	if n := len(ops); n < 1+1+steps-1 { // the last one may be about to be counted
		t.Errorf("tasks of the pager: got %d, want one per step", n)
	}
}
