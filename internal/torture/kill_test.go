package torture

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

const (
	killDirEnv  = "FMMAP_TORTURE_DIR"  // where the doomed process has its files
	killFromEnv = "FMMAP_TORTURE_FROM" // the first record that it writes
	record      = 64                   // bytes
)

// A process that holds locks, with its map growing and commits under way, is
// killed at a random moment, again and again. Its locks are free as soon as it
// is gone, the file opens, and all records are there of which it had said that
// they were committed.
func TestKill(t *testing.T) {
	testutil.NoLeaks(t)
	t.Setenv("TMPDIR", "/dev/shm") // the machine's own disk would slow it down
	dir := testutil.LoopDisk(t, 64*mib, "ext4")
	rnd := testutil.Rand(t)
	var acked []int64
	next := int64(0)
	b := newBudget(200)
	for b.next() {
		p := testutil.Reexec(t, "doomed", killDirEnv+"="+dir, killFromEnv+"="+strconv.FormatInt(next, 10))
		for p.Hear() != "ready" {
		}
		held(t, dir)
		var heard []string
		for range rnd.IntN(300) {
			heard = append(heard, p.Hear())
		}
		check(t, unix.Kill(p.Pid(), unix.SIGKILL))
		rest, err := p.Wait() // what had been said before the end counts too
		if err == nil {
			t.Fatal("the process ended well, although it was killed")
		}
		heard = append(heard, strings.Split(rest, "\n")...)
		heard = heard[:len(heard)-1] // half a line, or nothing
		for _, line := range heard {
			n := must[int64](t)(strconv.ParseInt(line, 10, 64))
			acked = append(acked, n)
			next = max(next, n+1)
		}
		if survived(t, dir, acked); t.Failed() {
			break
		}
	}
	counted(t, "%d processes killed, %d records acknowledged and there", b.rounds.Load(), len(acked))
	if len(acked) < int(b.rounds.Load()) {
		t.Error("hardly anything was acknowledged")
	}
	healthy(t, dir)
}

// held checks that the doomed process has its locks, or it would prove nothing
// that they are free afterwards.
func held(t *testing.T, dir string) {
	t.Helper()
	if _, err := core.OpenFile(filepath.Join(dir, "records"), core.Options{Access: core.ReadWrite}); !errors.Is(err, lock.ErrLocked) {
		t.Fatalf("opening a file that is open elsewhere: %v", err)
	}
	f := must[*os.File](t)(os.OpenFile(filepath.Join(dir, "guard"), os.O_RDWR, 0))
	defer f.Close()
	for what, l := range map[string]*lock.Lock{"the lock": lock.New(f), "the range": lock.New(f).Range(100, 10)} {
		if err := l.Try(lock.Exclusive); !errors.Is(err, lock.ErrLocked) {
			t.Fatalf("%s is held elsewhere: %v", what, err)
		}
	}
}

// survived checks that the locks are free and the records there.
func survived(t *testing.T, dir string, acked []int64) {
	t.Helper()
	g := must[*os.File](t)(os.OpenFile(filepath.Join(dir, "guard"), os.O_RDWR, 0))
	defer g.Close()
	for what, l := range map[string]*lock.Lock{"the lock": lock.New(g), "the range": lock.New(g).Range(100, 10)} {
		if err := l.Try(lock.Exclusive); err != nil {
			t.Errorf("%s of a process that was killed: %v", what, err)
			continue
		}
		check(t, l.Release())
	}
	f, err := core.OpenFile(filepath.Join(dir, "records"), core.Options{Access: core.ReadWrite})
	if err != nil {
		t.Errorf("opening the file of a process that was killed: %v", err)
		return
	}
	b := must[[]byte](t)(f.Clone())
	for _, n := range acked {
		if !bytes.HasPrefix(b[min(n*record, int64(len(b))):], pattern(n*record, record, 0)) {
			t.Errorf("record %d was acknowledged and is not there; the file has %d bytes", n, len(b))
		}
	}
	check(t, f.Close())
}

// doomed is the process: it writes records for ever, and says each that is
// committed.
func doomed() error {
	dir := os.Getenv(killDirEnv)
	from, err := strconv.ParseInt(os.Getenv(killFromEnv), 10, 64)
	if err != nil {
		return err
	}
	g, err := os.OpenFile(filepath.Join(dir, "guard"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	whole := lock.New(g)
	if err := errors.Join(whole.Acquire(bg, lock.Exclusive), lock.New(g).Range(90, 30).Acquire(bg, lock.Exclusive)); err != nil {
		return err
	}
	pool, err := async.NewPool(async.PoolOptions{})
	if err != nil {
		return err
	}
	f, err := async.Open(bg, pool, filepath.Join(dir, "records"), core.Options{
		Access: core.ReadWrite, Create: true, Reserve: 64 * kib, // little, so that the map moves now and then
	}).Await(bg)
	if err != nil {
		return err
	}
	testutil.Say("ready")
	w := &recorder{f: f}
	w.next.Store(from)
	failed := make(chan error)
	for range 16 {
		go func() { // ends with the process
			for {
				if err := w.write(w.next.Add(1) - 1); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	go func() { // the test is gone
		for ok := true; ok; _, ok = testutil.Hear() {
		}
		failed <- errors.New("not killed")
	}()
	err = <-failed
	runtime.KeepAlive(g) // a file that is collected is closed
	return err
}

// A recorder writes records to a file that it makes longer.
type recorder struct {
	f    *async.File
	next atomic.Int64
	mu   sync.Mutex // held to grow
}

// write writes record n, and prints n once it is committed.
func (w *recorder) write(n int64) error {
	if err := w.reach((n + 1) * record); err != nil {
		return err
	}
	if _, err := w.f.WriteAt(bg, pattern(n*record, record, 0), n*record).Await(bg); err != nil {
		return fmt.Errorf("record %d: %w", n, err)
	}
	if err := w.f.FlushRange(n*record, record).Wait(); err != nil {
		return fmt.Errorf("record %d: %w", n, err)
	}
	testutil.Say("%d", n)
	return nil
}

// reach makes the file at least as long.
func (w *recorder) reach(size int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.f.Core().Len(); n < size {
		return w.f.Truncate(bg, max(n+4*kib, size)).Wait()
	}
	return nil
}
