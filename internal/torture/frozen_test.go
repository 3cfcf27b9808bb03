package torture

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// While a file system is frozen, as the snapshot of a volume does for a moment,
// a WriteAt of async returns at once, and what waits is its store alone: not the
// garbage collector, not the heap that grows, not a read of the same file. The
// futures resolve when the file system takes stores again.
func TestFrozenFileSystem(t *testing.T) {
	testutil.RequireTool(t, "fsfreeze")
	for _, fstype := range []string{"ext4", "xfs"} {
		for _, o := range []core.Options{{Access: core.ReadWrite}, {Access: core.ReadWrite, NoLock: true}} {
			t.Run(filepath.Join(fstype, map[bool]string{true: "no lock", false: "lock"}[o.NoLock]), func(t *testing.T) {
				dir := testutil.LoopDisk(t, 64*mib, fstype)
				name := filepath.Join(dir, "file")
				check(t, os.WriteFile(name, pattern(0, 8*mib, 1), 0o600))
				pool := must[*async.Pool](t)(async.NewPool(async.PoolOptions{}))
				defer func() { check(t, pool.Close()) }()
				f := must[*async.File](t)(async.Open(bg, pool, name, o).Await(bg))
				defer func() { check(t, f.Close()) }()
				check(t, f.PageIn(bg, 0, 8*mib).Wait())
				check(t, f.Flush().Wait())

				thawed, thaw := freeze(t, dir)
				defer thaw()
				small := f.WriteAt(bg, []byte("small"), 3*mib)
				again := f.WriteAt(bg, []byte("again"), 3*mib+5)
				large := f.WriteAt(bg, bytes.Repeat([]byte("large"), 100_000), 4*mib)
				for range 5 {
					runtime.GC()
					heap := make([]byte, 64*mib) // which the runtime has to map
					heap[len(heap)-1] = 1
					runtime.KeepAlive(heap)
				}
				pin := must[*core.Pin](t)(f.Load(bg, 2*mib, 4096).Await(bg))
				pin.Release()
				b := make([]byte, 10)
				must[int](t)(f.ReadAt(bg, b, mib).Await(bg))
				for range 100 { // maps memory, as a growing heap does
					m := must[*core.File](t)(core.NewAnonymous(mib, core.Options{Reserve: 1}))
					check(t, m.Close())
				}
				if thawed() {
					t.Fatal("the process was held up until the file system was thawed")
				}
				for _, w := range []*async.Future[int]{small, again, large} {
					if _, err, ok := w.TryResult(); ok {
						t.Errorf("a store has resolved while the file system was frozen: %v", err)
					}
				}
				thaw()
				for _, w := range []*async.Future[int]{small, again, large} {
					must[int](t)(w.Await(bg))
				}
				check(t, f.FlushRange(3*mib, 2*mib).Wait())
				got := must[[]byte](t)(os.ReadFile(name))
				if string(got[3*mib:3*mib+10]) != "smallagain" || string(got[4*mib:4*mib+5]) != "large" {
					t.Error("the file does not have what was stored")
				}
			})
		}
	}
}

// freeze freezes the file system at dir until thaw is called, or for 20 s: a
// store that waits in a fault would hold up this process, its forks included, so
// another one thaws. thawed reports whether it has.
func freeze(t *testing.T, dir string) (thawed func() bool, thaw func()) {
	t.Helper()
	return meanwhile(t, `fsfreeze -f "$0" && echo frozen && timeout 20 cat; fsfreeze -u "$0"`, dir)
}

// meanwhile starts a shell script with its arguments, which begin with $0, and
// returns when it has printed a line. end closes its standard input and waits for
// its end; over reports whether it has ended.
func meanwhile(t *testing.T, script string, args ...string) (over func() bool, end func()) {
	t.Helper()
	c := exec.Command("sh", append([]string{"-c", script}, args...)...)
	in := must[io.WriteCloser](t)(c.StdinPipe())
	out := must[io.ReadCloser](t)(c.StdoutPipe())
	check(t, c.Start())
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatalf("%s: %v, %v", script, err, c.Wait())
	}
	ended := make(chan struct{})
	go func() { // ends with the process, which end waits for
		_, _ = io.Copy(io.Discard, lines)
		close(ended)
	}()
	over = func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	}
	return over, sync.OnceFunc(func() {
		_ = in.Close()
		<-ended
		check(t, c.Wait())
	})
}
