package async_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/medium"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// onMedia opens n files of 1 MiB, each as if it were on a device of its own that
// takes depth reads at once. Every request for pages of theirs that were
// not seen goes to the pager.
func onMedia(t *testing.T, p *async.Pool, n, depth int) ([]*async.File, *calls) {
	t.Helper()
	c := watchCalls(t)
	c.failing(sys.OpMincore, errors.ErrUnsupported)
	files := make([]*async.File, n)
	for i := range files {
		files[i] = onDisk(t, p, 1<<20)
		async.SetMedium(files[i], medium.Medium{Device: uint64(i), Depth: depth})
		advise(t, files[i].Core(), core.AdviceRandom) // nothing is read around
	}
	return files, c
}

// occupyPagers keeps the pagers of files busy until the returned function is
// called or the test ends.
func occupyPagers(t *testing.T, files ...*async.File) (free func()) {
	t.Helper()
	quit := make(chan struct{})
	free = sync.OnceFunc(func() { close(quit) })
	t.Cleanup(free)
	for _, f := range files {
		check(t, async.OccupyPager(f, quit))
	}
	return free
}

// A device that does not respond holds up the requests for its own pages, and
// those for no other.
func TestSlowDeviceHoldsUpItsOwnRequests(t *testing.T) {
	p := narrow(t)
	files, _ := onMedia(t, p, 3, 8)
	slow := files[0]
	free := occupyPagers(t, slow)
	in, advised := slow.PageIn(bg, 0, 10), slow.Advise(bg, core.AdviceRandom, 0, 10)
	for _, f := range files[1:] {
		check(t, f.PageIn(bg, 0, 10).Wait())
		check(t, f.PageIn(bg, 0, 1<<20).Wait())
		checkAdvised(t, f.Advise(bg, core.AdviceRandom, 0, 10))
		want(t, f.ReadAt(bg, make([]byte, 10), 500_000), 10, nil)
	}
	pending(t, in)
	pending(t, advised)
	free()
	check(t, in.Wait())
	checkAdvised(t, advised)
}

// checkAdvised waits for advice, which a sandbox may refuse.
func checkAdvised(t *testing.T, advised *async.Future[struct{}]) {
	t.Helper()
	if err := advised.Wait(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}

// There are never more than MaxDeviceLanes pagers; further devices share them. An
// idle device has none. The statistics are the sums over all pagers.
func TestPagersAreBounded(t *testing.T) {
	const more = 5
	p := narrow(t)
	files, _ := onMedia(t, p, async.MaxDeviceLanes+more, 8)
	free := occupyPagers(t, files...)
	settled(func() bool { return p.Stats().Page.Running == async.MaxDeviceLanes })
	if s := p.Stats().Page; s.Queued != more || s.Width != 1 {
		t.Errorf("page lane: got %d queued and width %d, want %d and 1", s.Queued, s.Width, more)
	}
	free()
	for _, f := range files {
		check(t, f.PageIn(bg, 0, 10).Wait())
	}
	settled(func() bool { return async.Devices(p) == 0 && p.Stats().Page.Running == 0 }) // counted last
	if s := p.Stats().Page; s.Done != 2*uint64(len(files)) {
		t.Errorf("page lane: got %d done, want %d", s.Done, 2*len(files))
	}
}

// Callers start no more reads than the device takes at once. The pager starts
// the others, and each read is started once.
func TestCallersStartWhatTheDeviceTakes(t *testing.T) {
	const loads = 10
	for _, depth := range []int{0, 1, 3, 100} {
		t.Run(fmt.Sprint("depth ", depth), func(t *testing.T) {
			p := narrow(t)
			files, c := onMedia(t, p, 1, depth)
			f := files[0]
			free := occupyPagers(t, f)
			before := c.of(sys.OpMadvise)
			var in []*async.Future[struct{}]
			for i := range int64(loads) {
				in = append(in, f.PageIn(bg, i*100_000, 10))
			}
			if n, want := c.of(sys.OpMadvise)-before, min(depth, loads); n != want {
				t.Errorf("reads that callers started: got %d, want %d", n, want)
			}
			free()
			for _, in := range in {
				check(t, in.Wait())
			}
			if n := c.of(sys.OpMadvise) - before; n != 2*loads {
				t.Errorf("calls of madvise: got %d, want a WILLNEED and a populate for each of %d", n, loads)
			}
			settled(func() bool { return async.Devices(p) == 0 })
		})
	}
}

// Callers start as many reads as the device is certain to take. The pager starts
// more, as long as each start is quick.
func TestPagerFindsOutWhatTheDeviceTakes(t *testing.T) {
	const certain, most, loads = 2, 6, 10
	onMedia(t, narrow(t), 1, certain) // skips the test where nothing can be started
	for name, c := range map[string]struct {
		slow  time.Duration // that the third start by the pager takes
		first int           // starts by the pager before it waits
	}{
		"quick":       {0, most - certain},
		"quick still": {50 * time.Microsecond, most - certain},
		"slow":        {time.Millisecond, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // in which no start takes any time
				p, err := async.NewPool(async.PoolOptions{Executor: async.Goroutines()})
				check(t, err)
				files, _ := onMedia(t, p, 1, certain)
				f := files[0]
				async.SetMedium(f, medium.Medium{Depth: certain, MaxDepth: most})
				free := occupyPagers(t, f)
				var in []*async.Future[struct{}]
				for i := range int64(loads) {
					in = append(in, f.PageIn(bg, i*100_000, 10))
				}
				if n := async.Started(f); n != certain {
					t.Errorf("callers have started %d reads, want %d", n, certain)
				}
				arrived, goOn := make(chan struct{}), make(chan struct{})
				restore := sys.Inject(func(op sys.Op) error {
					if op == sys.OpMadvise {
						arrived <- struct{}{}
						<-goOn
					}
					return nil
				})
				free()
				for i := range c.first {
					<-arrived
					if i == 2 {
						time.Sleep(c.slow)
					}
					goOn <- struct{}{}
				}
				<-arrived // it waits for the first read
				if n, want := async.Started(f), certain+c.first; n != want {
					t.Errorf("%d reads are started, want %d", n, want)
				}
				restore()
				goOn <- struct{}{}
				for _, in := range in {
					check(t, in.Wait())
				}
				check(t, f.Close())
				check(t, p.Close())
			})
		})
	}
}

// What was seen is started without a try. The next try follows a slow one after a
// pause, and a start that turns out to wait takes one off what was seen.
func TestDepth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := async.NewDepth(2, 6)
		takes := func(what string, want int) {
			t.Helper()
			n := 0
			for n < 10 && d.Takes(n, 1) {
				n++
			}
			if n != want {
				t.Errorf("%s: takes %d, want %d", what, n, want)
			}
		}
		takes("at first", 6)
		d.Took(0, 1, 3)
		d.Took(time.Millisecond, 1, 4)
		takes("after a slow start of the fourth", 3)
		time.Sleep(time.Millisecond)
		takes("soon after it", 3)
		time.Sleep(15 * time.Millisecond)
		takes("after a pause", 6)
		d.Took(0, 1, 100)
		d.Took(time.Millisecond, 1, 5)
		d.Took(200*time.Microsecond, 1, 5) // neither
		d.Took(time.Millisecond, 16, 5)    // quick, for a long read
		d.Took(time.Millisecond, 1, 7)     // a try
		takes("after a start that waited", 5)
		for range 10 {
			d.Took(time.Second, 1, 2)
		}
		time.Sleep(time.Second)
		takes("after many", 6)
		d.Took(time.Hour, 1, 4)
		takes("after a very slow start", 2)
		time.Sleep(time.Second)
		takes("a second later", 6)
	})
}

// A read of several units takes as much of the depth, and one that is longer
// than the depth is left to the pager.
func TestLongReadsTakeMoreOfTheDepth(t *testing.T) {
	p := narrow(t)
	files, c := onMedia(t, p, 1, 4)
	f := files[0]
	free := occupyPagers(t, f)
	before := c.of(sys.OpMadvise)
	var in []*async.Future[struct{}]
	for _, n := range []int64{3 * medium.Unit, 2 * medium.Unit, 1} { // the third may not overtake the second
		in = append(in, f.PageIn(bg, 0, n))
	}
	in = append(in, f.PageIn(bg, 0, 8*medium.Unit))
	if n := c.of(sys.OpMadvise) - before; n != 1 {
		t.Errorf("reads that callers started: got %d, want 1", n)
	}
	free()
	for _, in := range in {
		check(t, in.Wait())
	}
}

// A read that was given up after it had been started counts until the pager has
// waited for it.
func TestReadGivenUpStillCounts(t *testing.T) {
	p := narrow(t)
	files, c := onMedia(t, p, 1, 1)
	f := files[0]
	free := occupyPagers(t, f)
	before := c.of(sys.OpMadvise)
	first := f.PageIn(bg, 0, 10)
	if !first.Cancel(nil) {
		t.Fatal("a queued page-in cannot be cancelled")
	}
	second, third := f.PageIn(bg, 100_000, 10), f.PageIn(bg, 200_000, 10)
	if !third.Cancel(nil) { // was not started
		t.Fatal("a queued page-in cannot be cancelled")
	}
	if n := c.of(sys.OpMadvise) - before; n != 1 {
		t.Errorf("reads that callers started: got %d, want 1", n)
	}
	free()
	check(t, second.Wait())
	settled(func() bool { return async.Devices(p) == 0 })
	if n := c.of(sys.OpMadvise) - before; n != 4 {
		t.Errorf("calls of madvise: got %d, want a WILLNEED and a populate for each of two", n)
	}
}
