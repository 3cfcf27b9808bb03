package async_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// bg is a context that never ends.
var bg = context.Background()

// check ends the test on an error.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pattern returns n bytes that depend on their offset.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16)
	}
	return b
}

// needsFiles skips a test of mapped files where the system maps none.
func needsFiles(t testing.TB) {
	t.Helper()
	if !sys.MapsFiles {
		t.Skip("needs a system that maps files")
	}
}

// diskFile makes a file with durable contents b and returns its name.
func diskFile(t testing.TB, b []byte) string {
	t.Helper()
	needsFiles(t)
	name := filepath.Join(t.TempDir(), "file")
	f, err := os.Create(name)
	check(t, err)
	_, err = f.Write(b)
	check(t, err)
	check(t, f.Sync())
	check(t, f.Close())
	return name
}

// opened opens a file that is closed when the test ends, if the test has not
// closed it. The closing must end.
func opened(t testing.TB, p *async.Pool, name string, o core.Options) *async.File {
	t.Helper()
	f, err := async.Open(bg, p, name, o).Await(bg)
	check(t, err)
	closedAtEnd(t, f)
	return f
}

func closedAtEnd(t testing.TB, f *async.File) {
	t.Helper()
	t.Cleanup(func() {
		if err := f.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
	})
}

// onDisk opens a file of n bytes of the pattern for reading and writing.
func onDisk(t testing.TB, p *async.Pool, n int) *async.File {
	t.Helper()
	return opened(t, p, diskFile(t, pattern(n)), core.Options{Access: core.ReadWrite})
}

// kinds lists the kinds of files that behave alike. Each file has n bytes of the
// pattern and can be read and written.
var kinds = []struct {
	name string
	only bool // memory without a file
	open func(t testing.TB, p *async.Pool, n int) *async.File
}{
	{"disk", false, onDisk},
	{"memory", true, func(t testing.TB, p *async.Pool, n int) *async.File {
		f := async.Wrap(p, core.NewMemory("memory", pattern(n)))
		closedAtEnd(t, f)
		return f
	}},
	{"anonymous", true, func(t testing.TB, p *async.Pool, n int) *async.File {
		c, err := core.NewAnonymous(int64(n), core.Options{})
		check(t, err)
		_, err = c.WriteAt(pattern(n), 0)
		check(t, err)
		f := async.Wrap(p, c)
		closedAtEnd(t, f)
		return f
	}},
}

// pinned pins bytes until the test releases them, or ends.
func pinned(t testing.TB, f *async.File, off, n int64) *core.Pin {
	t.Helper()
	p, err := f.Core().Pin(off, n)
	check(t, err)
	t.Cleanup(p.Release)
	return p
}

// still runs a test while the clock stands still, with a pool of its own.
func still(t *testing.T, test func(t *testing.T, p *async.Pool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, open(t, async.PoolOptions{Executor: async.Goroutines()}))
	})
}

// narrow returns a pool with one worker per lane, closed when the test ends.
func narrow(t testing.TB) *async.Pool {
	t.Helper()
	one := async.LaneOptions{Width: 1}
	return open(t, async.PoolOptions{Short: one, Flush: one, Page: one, Meta: one})
}

// occupy keeps the one worker of each lane busy until the returned function is
// called or the test ends.
func occupy(t testing.TB, p *async.Pool, lanes ...async.Lane) (free func()) {
	t.Helper()
	quit := make(chan struct{})
	free = sync.OnceFunc(func() { close(quit) })
	t.Cleanup(free)
	for _, l := range lanes {
		check(t, async.Occupy(p, l, quit))
	}
	return free
}

// settled yields until done returns true: for what another goroutine is about to
// do and gives no other sign of.
func settled(done func() bool) {
	for !done() {
		runtime.Gosched()
	}
}

// calls counts the system calls of the process, and can hold them up.
type calls struct {
	mu   sync.Mutex
	n    map[sys.Op]int
	fail map[sys.Op]error
	gate map[sys.Op]*gate
}

// A gate holds up calls of one kind.
type gate struct {
	pass    int           // calls to let through first
	arrived chan struct{} // gets a value for each call that is held up
	open    chan struct{} // closed to let all go
}

// watchCalls watches the system calls until the test ends.
func watchCalls(t testing.TB) *calls {
	t.Helper()
	c := &calls{n: make(map[sys.Op]int), fail: make(map[sys.Op]error), gate: make(map[sys.Op]*gate)}
	t.Cleanup(sys.Inject(c.called))
	return c
}

func (c *calls) called(op sys.Op) error {
	c.mu.Lock()
	c.n[op]++
	err, g := c.fail[op], c.gate[op]
	if g != nil && g.pass > 0 {
		g.pass--
		g = nil
	}
	c.mu.Unlock()
	if g != nil {
		g.arrived <- struct{}{}
		<-g.open
	}
	return err
}

// of returns the number of calls of op so far.
func (c *calls) of(op sys.Op) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[op]
}

// failing makes calls of op fail with err, or no longer if that is nil.
func (c *calls) failing(op sys.Op, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail[op] = err
}

// hold holds up calls of op after the next pass ones, until release or the end
// of the test. Each call that is held up sends on arrived first.
func (c *calls) hold(t testing.TB, op sys.Op, pass int) (arrived <-chan struct{}, release func()) {
	t.Helper()
	g := &gate{pass: pass, arrived: make(chan struct{}, 1000), open: make(chan struct{})}
	c.mu.Lock()
	c.gate[op] = g
	c.mu.Unlock()
	release = sync.OnceFunc(func() {
		c.mu.Lock()
		delete(c.gate, op)
		c.mu.Unlock()
		close(g.open)
	})
	t.Cleanup(release)
	return g.arrived, release
}

// advise gives advice for the whole window, and skips the test where the system has
// none or refuses it.
func advise(t *testing.T, f *core.File, a core.Advice) {
	t.Helper()
	err := f.Advise(a, 0, f.Len())
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	check(t, err)
}
