package torture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// permsDirEnv is where the process without a umask makes its files.
const permsDirEnv = "FMMAP_TORTURE_DIR"

// Files that are created, and copies, never have more permissions than asked
// for, at no moment of their lives: in a process whose umask takes nothing
// away, watched all the time.
func TestPermissionsOfCreatedFiles(t *testing.T) {
	t.Setenv("TMPDIR", "/dev/shm")
	said, err := testutil.Reexec(t, "created", permsDirEnv+"="+t.TempDir()).Wait()
	if err != nil {
		t.Error(err)
	}
	counted(t, "%s", said)
}

// created runs in the process without a umask: the umask is that of a whole
// process, so the test cannot clear its own.
func created() error {
	dir := os.Getenv(permsDirEnv)
	syscall.Umask(0)
	var wrong error
	var looks int64
	rounds := 0
	for _, perm := range []fs.FileMode{0o600, 0o640, 0o400, 0} {
		w := &watcher{dir: filepath.Join(dir, fmt.Sprintf("%o", perm)), most: perm}
		if perm == 0 {
			w.most = 0o644 // as documented
		}
		if err := os.Mkdir(w.dir, 0o755); err != nil {
			return err
		}
		var all sync.WaitGroup
		all.Go(func() { w.watch() }) // ends with stop
		for range 1000 {
			rounds++
			if err := creations(w.dir, perm); err != nil {
				wrong = errors.Join(wrong, err)
				break
			}
		}
		w.stop.Store(true)
		all.Wait()
		looks += w.looks
		wrong = errors.Join(wrong, w.wrong)
	}
	testutil.Say("%d rounds, %d looks at files", rounds, looks)
	if looks < 100 {
		wrong = errors.Join(wrong, errors.New("hardly anything was seen"))
	}
	return wrong
}

// creations makes a file and copies of it, and removes them.
func creations(dir string, perm fs.FileMode) error {
	name, to := filepath.Join(dir, "file"), filepath.Join(dir, "copy")
	f, err := core.OpenFile(name, core.Options{Access: core.ReadWrite, Create: true, Size: 8 * kib, Perm: perm})
	if err != nil {
		return err
	}
	err = errors.Join(f.CopyTo(to, 0, 8*kib), f.CopyTo(to, 0, 100), f.Truncate(16*kib), f.Flush())
	fi, serr := os.Stat(name)
	if err := errors.Join(err, serr); err != nil {
		return err
	}
	want := perm
	if perm == 0 {
		want = 0o644
	}
	if fi.Mode().Perm() != want {
		err = fmt.Errorf("a file made with %o has %o", perm, fi.Mode().Perm())
	}
	return errors.Join(err, f.Remove(), f.Close(), os.Remove(to))
}

// A watcher looks at all files of a directory, again and again.
type watcher struct {
	dir   string
	most  fs.FileMode // permissions that a file may have
	stop  atomic.Bool
	looks int64
	wrong error
}

func (w *watcher) watch() {
	for !w.stop.Load() {
		d, err := os.Open(w.dir)
		if err != nil {
			w.wrong = err
			return
		}
		names, _ := d.Readdirnames(-1)
		d.Close()
		for _, name := range names {
			fi, err := os.Lstat(filepath.Join(w.dir, name))
			if err != nil {
				continue // gone
			}
			w.looks++
			if more := fi.Mode().Perm() &^ w.most; more != 0 {
				w.wrong = fmt.Errorf("%s has %o, at most %o was asked for", name, fi.Mode().Perm(), w.most)
				return
			}
		}
	}
}
