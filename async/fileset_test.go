package async_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

// manyFiles makes n files that hold their own numbers and returns their names.
func manyFiles(t testing.TB, n int) []string {
	t.Helper()
	needsFiles(t)
	dir := t.TempDir()
	names := make([]string, n)
	for i := range names {
		names[i] = filepath.Join(dir, fmt.Sprint(i))
		check(t, os.WriteFile(names[i], fmt.Appendf(nil, "file %d", i), 0o600))
	}
	return names
}

// fileSet returns a set that is closed when the test ends, if it is not by then.
func fileSet(t testing.TB, p *async.Pool, o async.FileSetOptions) *async.FileSet {
	t.Helper()
	s, err := async.NewFileSet(p, o)
	check(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
			t.Errorf("closing the set: %v", err)
		}
	})
	return s
}

func lease(t testing.TB, s *async.FileSet, name string) *async.Lease {
	t.Helper()
	l, err := s.Get(bg, name).Await(bg)
	check(t, err)
	t.Cleanup(l.Release)
	return l
}

// use takes a lease, checks what the file holds, and releases it.
func use(t testing.TB, s *async.FileSet, names []string, i int) {
	t.Helper()
	l := lease(t, s, names[i])
	holds(t, l.File(), i)
	l.Release()
}

// holds checks the contents of the i-th of manyFiles.
func holds(t testing.TB, f *async.File, i int) {
	t.Helper()
	b, err := f.Core().Clone()
	if want := fmt.Sprint("file ", i); err != nil || string(b) != want {
		t.Errorf("%s holds %q, %v; want %q", f.Core().Name(), b, err, want)
	}
}

// wantStats compares the counts that are above zero in w.
func wantStats(t testing.TB, s *async.FileSet, w async.FileSetStats) {
	t.Helper()
	if got := s.Stats(); got != w {
		t.Errorf("the set has %+v\nwant %+v", got, w)
	}
}

func TestFileSetClosesTheLeastRecentlyUsed(t *testing.T) {
	names := manyFiles(t, 4)
	s := fileSet(t, nil, async.FileSetOptions{MaxOpen: 3, Idle: -1})
	for _, i := range []int{0, 1, 2, 0, 3, 0, 2} { // 1 has to go for 3
		use(t, s, names, i)
	}
	wantStats(t, s, async.FileSetStats{Open: 3, Hits: 3, Opened: 4, Evicted: 1})
	if l, ok := s.TryGet(names[1]); ok {
		l.Release()
		t.Error("the file that was not used for the longest time is open")
	}
	use(t, s, names, 1) // in place of 3
	wantStats(t, s, async.FileSetStats{Open: 3, Hits: 3, Opened: 5, Reopened: 1, Evicted: 2})
	l, ok := s.TryGet(names[0])
	if !ok {
		t.Fatal("a file that was used is closed")
	}
	l.Release()
}

// Whatever is in use without a lease keeps a file open too.
func TestFileSetClosesNothingInUse(t *testing.T) {
	for what, begin := range map[string]func(t *testing.T, f *async.File) (end func()){
		"a pin": func(t *testing.T, f *async.File) func() {
			return pinned(t, f, 0, 4).Release
		},
		"an operation": func(t *testing.T, f *async.File) func() {
			inside, leave, left := make(chan struct{}), make(chan struct{}), make(chan error)
			go func() {
				left <- f.Core().View(func([]byte) error { close(inside); <-leave; return nil })
			}()
			<-inside
			return func() { close(leave); check(t, <-left) }
		},
		"a change": func(t *testing.T, f *async.File) func() {
			p := pinned(t, f, 0, 4)
			change := f.Truncate(bg, 0)
			return func() { p.Release(); check(t, change.Wait()) }
		},
		"a request of pages": func(t *testing.T, f *async.File) func() {
			c := watchCalls(t)
			c.failing(sys.OpMincore, errors.ErrUnsupported)
			quit := make(chan struct{})
			check(t, async.OccupyPager(f, quit))
			in := f.PageIn(bg, 0, 4)
			return func() { close(quit); check(t, in.Wait()) }
		},
		"a lock": func(t *testing.T, f *async.File) func() {
			l, err := f.Lock(bg, lock.Shared).Await(bg)
			check(t, err)
			return func() { check(t, l.Release()) }
		},
		"a background": func(t *testing.T, f *async.File) func() {
			b, err := f.StartBackground(flush.Policy{Interval: time.Hour})
			check(t, err)
			return func() { check(t, b.Close()) }
		},
		"a flush": func(t *testing.T, f *async.File) func() {
			c := watchCalls(t)
			arrived, free := c.hold(t, sys.OpMsync, 0)
			flushed := f.Flush()
			<-arrived
			return func() { free(); check(t, flushed.Wait()) }
		},
	} {
		t.Run(what, func(t *testing.T) {
			names := manyFiles(t, 3)
			p := open(t, async.PoolOptions{})
			s := fileSet(t, p, async.FileSetOptions{MaxOpen: 1, Idle: -1, Open: core.Options{Access: core.ReadWrite, NoLock: true}})
			l := lease(t, s, names[0])
			end := sync.OnceFunc(begin(t, l.File()))
			t.Cleanup(end)
			l.Release()
			other := s.Get(bg, names[1])
			pending(t, other)
			again, ok := s.TryGet(names[0])
			if !ok || again.File() != l.File() {
				t.Fatal("the file that is in use has been closed")
			}
			again.Release()
			end()
			o, err := other.Await(bg)
			check(t, err)
			holds(t, o.File(), 1)
			o.Release()
			if st := s.Stats(); st.Evicted != 1 || st.Open != 1 {
				t.Errorf("the set has %+v", st)
			}
		})
	}
}

// What a Get and a Release cost does not grow with the files that are in use
// without a lease, which the set must not close.
func TestFileSetBesideManyInUse(t *testing.T) {
	testutil.RequireDescriptors(t, 800)
	names := manyFiles(t, 650)
	looks := func(max int) int {
		s := fileSet(t, nil, async.FileSetOptions{MaxOpen: max, Idle: -1}) // of which it would keep a 32nd free
		n := max - 1
		pins := make([]*core.Pin, n)
		for i := range pins {
			l := lease(t, s, names[i])
			pins[i] = pinned(t, l.File(), 0, 1)
			l.Release()
		}
		before := async.Looks(s)
		const gets = 4
		for i := range gets {
			use(t, s, names, n+i)
		}
		looks := async.Looks(s) - before
		for _, p := range pins {
			p.Release()
		}
		check(t, s.Close())
		return looks
	}
	if few, many := looks(64), looks(640); many > 3*few {
		t.Errorf("looks at files to close: got %d beside 63 in use, and %d beside 639", few, many)
	}
}

// A flush that has failed is not forgotten by opening the file again.
func TestFileSetKeepsAFailedFlush(t *testing.T) {
	names := manyFiles(t, 2)
	s := fileSet(t, nil, async.FileSetOptions{MaxOpen: 1, Idle: -1, Open: core.Options{Access: core.ReadWrite}})
	l := lease(t, s, names[0])
	c := watchCalls(t)
	c.failing(sys.OpMsync, errors.New("injected"))
	wantErr(t, "Flush", l.File().Flush().Wait(), core.ErrFlushFailed)
	c.failing(sys.OpMsync, nil)
	l.Release()
	ctx, cancel := context.WithCancel(bg)
	other := s.Get(ctx, names[1])
	pending(t, other)
	cancel()
	wantErr(t, "Get given up", other.Wait(), context.Canceled)
	wantErr(t, "Flush", lease(t, s, names[0]).File().Flush().Wait(), core.ErrFlushFailed)
	wantStats(t, s, async.FileSetStats{Open: 1, Leases: 1, Hits: 1, Opened: 1})
}

// All that ask for a file that is not open share one opening, and its error.
func TestFileSetOpensOnce(t *testing.T) {
	p := narrow(t)
	names := manyFiles(t, 1)
	s := fileSet(t, p, async.FileSetOptions{})
	for _, name := range []string{names[0], names[0] + ".none"} {
		free := occupy(t, p, async.LaneMeta)
		gets := make([]*async.Future[*async.Lease], 20)
		for i := range gets {
			gets[i] = s.Get(bg, name)
			pending(t, gets[i])
		}
		free()
		opened, want := async.Open(bg, p, name, core.Options{}).Await(bg)
		if want == nil {
			check(t, opened.Close())
		}
		for _, g := range gets {
			l, err := g.Await(bg)
			if fmt.Sprint(err) != fmt.Sprint(want) {
				t.Errorf("Get: %v, and Open: %v", err, want)
			}
			if err == nil {
				l.Release()
			}
		}
	}
	wantStats(t, s, async.FileSetStats{Open: 1, Opened: 1, Refused: 1})
}

func TestFileSetClosesWhatIsIdle(t *testing.T) {
	names := manyFiles(t, 3)
	synctest.Test(t, func(t *testing.T) {
		s := fileSet(t, open(t, async.PoolOptions{}), async.FileSetOptions{Idle: time.Second})
		use(t, s, names, 0)
		kept := lease(t, s, names[1])
		time.Sleep(600 * time.Millisecond)
		use(t, s, names, 2)
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		wantStats(t, s, async.FileSetStats{Open: 3, Leases: 1, Opened: 3})
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		wantStats(t, s, async.FileSetStats{Open: 2, Leases: 1, Opened: 3, Expired: 1})
		time.Sleep(time.Hour)
		synctest.Wait()
		wantStats(t, s, async.FileSetStats{Open: 1, Leases: 1, Opened: 3, Expired: 2})
		kept.Release()
		pin := pinned(t, kept.File(), 0, 4)
		time.Sleep(time.Hour)
		synctest.Wait()
		wantStats(t, s, async.FileSetStats{Open: 1, Opened: 3, Expired: 2})
		pin.Release()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		wantStats(t, s, async.FileSetStats{Opened: 3, Expired: 3})
	})
}

func TestFileSetGetGivenUp(t *testing.T) {
	names := manyFiles(t, 3)
	s := fileSet(t, nil, async.FileSetOptions{MaxOpen: 1, Idle: -1})
	l := lease(t, s, names[0])
	cause := errors.New("cause")
	ctx, cancel := context.WithCancelCause(bg)
	first, second, stays := s.Get(ctx, names[1]), s.Get(ctx, names[2]), s.Get(bg, names[2])
	wantStats(t, s, async.FileSetStats{Open: 1, Leases: 1, Opened: 1, Waiting: 2})
	cancel(cause)
	wantErr(t, "Get", first.Wait(), cause)
	wantErr(t, "Get", second.Wait(), cause)
	wantErr(t, "Get", s.Get(ctx, names[0]).Wait(), cause)
	wantStats(t, s, async.FileSetStats{Open: 1, Leases: 1, Opened: 1, Waiting: 1})
	pending(t, stays)
	l.Release()
	got, err := stays.Await(bg)
	check(t, err)
	holds(t, got.File(), 2)
	got.Release()
	wantStats(t, s, async.FileSetStats{Open: 1, Opened: 2, Evicted: 1})
}

func TestFileSetClose(t *testing.T) {
	testutil.NoLeaks(t)
	names := manyFiles(t, 3)
	p := open(t, async.PoolOptions{})
	s := fileSet(t, p, async.FileSetOptions{MaxOpen: 2, Idle: -1})
	held, other := lease(t, s, names[0]), lease(t, s, names[1])
	pin := pinned(t, other.File(), 0, 4)
	other.Release()
	waiting := s.Get(bg, names[2])
	ctx, cancel := context.WithCancel(bg)
	cancel()
	pending(t, waiting)
	done := s.StartClose(bg)
	wantErr(t, "Get that waited", waiting.Wait(), fs.ErrClosed)
	wantErr(t, "Get", s.Get(bg, names[0]).Wait(), fs.ErrClosed)
	wantErr(t, "Close", s.Close(), fs.ErrClosed)
	wantErr(t, "CloseContext", s.CloseContext(ctx), fs.ErrClosed)
	if _, ok := s.TryGet(names[0]); ok {
		t.Error("a set that is being closed has leases to give")
	}
	holds(t, held.File(), 0)
	held.Release()
	held.Release() // which does nothing
	pending(t, done)
	if got := string(pin.Bytes()); got != "file" {
		t.Errorf("a pin has %q", got)
	}
	pin.Release()
	check(t, done.Wait())
	wantStats(t, s, async.FileSetStats{Opened: 2})
}

// The context ends the wait for the leases, and the closing goes on.
func TestFileSetCloseGivenUp(t *testing.T) {
	names := manyFiles(t, 1)
	s := fileSet(t, nil, async.FileSetOptions{})
	l := lease(t, s, names[0])
	ctx, cancel := context.WithCancel(bg)
	done := s.StartClose(ctx)
	cancel()
	wantErr(t, "Close", done.Wait(), context.Canceled)
	l.Release()
	for s.Stats().Open > 0 {
		<-time.After(time.Millisecond)
	}
}

func TestFileSetOptions(t *testing.T) {
	for want, o := range map[string]async.FileSetOptions{
		"MaxOpen is -1": {MaxOpen: -1},
		"Create":        {Open: core.Options{Create: true}},
		"Exclusive":     {Open: core.Options{Exclusive: true}},
		"Truncate":      {Open: core.Options{Truncate: true}},
		"RemoveOnClose": {Open: core.Options{RemoveOnClose: true}},
		"CopyOnWrite":   {Open: core.Options{Access: core.CopyOnWrite}},
		"Wait":          {Open: core.Options{Wait: true}},
	} {
		s, err := async.NewFileSet(nil, o)
		if !errors.Is(err, fs.ErrInvalid) || s != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NewFileSet(%+v): %v", o, err)
		}
	}
}

// A mappingCount counts mappings as they are made and removed.
type mappingCount struct {
	mu        sync.Mutex
	now, most int
}

// countMappings counts the mappings of the process from now on.
func countMappings(t *testing.T) *mappingCount {
	c := new(mappingCount)
	t.Cleanup(sys.Inject(func(op sys.Op) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch op {
		case sys.OpMmap:
			c.now++
			c.most = max(c.most, c.now)
		case sys.OpMunmap:
			c.now--
		}
		return nil
	}))
	return c
}

// Goroutines use files, pin bytes past their leases, give up, and the set is
// closed at last. Whatever happens, no more files are open than may be, what is
// leased or pinned stays open, and every file holds what it should.
func TestFileSetAtRandom(t *testing.T) {
	for _, idle := range []time.Duration{time.Hour, 2 * time.Millisecond} {
		t.Run("idle "+idle.String(), func(t *testing.T) { fileSetAtRandom(t, idle) })
	}
}

func fileSetAtRandom(t *testing.T, idle time.Duration) {
	testutil.NoLeaks(t)
	const files, most, workers = 60, 8, 6
	names := manyFiles(t, files)
	p := open(t, async.PoolOptions{})
	s := fileSet(t, p, async.FileSetOptions{MaxOpen: most, Idle: idle})
	mapped := countMappings(t)
	rounds := 150
	if testing.Short() {
		rounds = 40
	}
	seed := testutil.Seed(t)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			for range rounds {
				i := int(r.Uint64() % files)
				i = i * i / files // some more often than others
				ctx, cancel := context.WithCancel(bg)
				get := s.Get(ctx, names[i])
				if r.IntN(8) == 0 {
					cancel()
				}
				l, err := get.Await(bg)
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("Get: %v", err)
					}
					cancel()
					continue
				}
				pin, err := l.File().Core().Pin(0, 4)
				if err != nil {
					t.Errorf("Pin: %v", err)
				}
				holds(t, l.File(), i)
				if open := s.Stats().Open; open > most {
					t.Errorf("%d files are open of at most %d", open, most)
				}
				l.Release()
				if err == nil {
					if string(pin.Bytes()) != "file" {
						t.Errorf("a pin has %q", pin.Bytes())
					}
					if r.IntN(2) == 0 {
						<-time.After(time.Duration(r.IntN(100)) * time.Microsecond)
					}
					pin.Release()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if mapped.most > most {
		t.Errorf("%d mappings of at most %d", mapped.most, most)
	}
	st := s.Stats()
	if st.Leases != 0 || st.Waiting != 0 || st.Evicted == 0 && idle == time.Hour || st.Reopened == 0 {
		t.Errorf("the set has %+v", st)
	}
	check(t, s.Close())
	if st := s.Stats(); st.Open != 0 || st.Leases != 0 {
		t.Errorf("the closed set has %+v", st)
	}
}
