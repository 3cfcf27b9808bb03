package torture

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

// While a device writes nothing, and has as many dirty pages as it may have, a
// store to it waits in the kernel. A WriteAt of async returns all the same, and
// with a single processor other goroutines and the garbage collector go on while
// its store waits.
func TestDirtyLimit(t *testing.T) {
	for _, fstype := range []string{"ext4", "xfs"} {
		t.Run(fstype, func(t *testing.T) {
			const size, apart = 16 * mib, mib
			d := disk.Start(t, max(64*mib, testutil.MinSize(fstype)))
			dir := must[string](t)(d.Mount(fstype))
			name := filepath.Join(dir, "file")
			check(t, os.WriteFile(name, pattern(0, size, 1), 0o600))
			pool := must[*async.Pool](t)(async.NewPool(async.PoolOptions{}))
			defer func() { check(t, pool.Close()) }()
			f := must[*async.File](t)(async.Open(bg, pool, name, core.Options{Access: core.ReadWrite}).Await(bg))
			defer func() { check(t, f.Close()) }()
			check(t, f.PageIn(bg, 0, size).Wait())
			check(t, f.Flush().Wait())
			lifted, lift := limitDirty(t, dir, 4*mib)
			defer lift()

			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			check(t, d.HoldFor(disk.Write, 20*time.Second)) // see limitDirty
			defer func() { check(t, d.Hold(disk.Write, false)) }()
			data := bytes.Repeat([]byte("x"), apart)
			var stores []*async.Future[int]
			for off := int64(0); off < size; off += apart {
				stores = append(stores, f.WriteAt(bg, data, off))
			}
			// No timing: another goroutine makes its steps, with collections among
			// them, before the held device lets any of the last stores end.
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range 20 {
					runtime.GC()
				}
			}()
			<-done
			if lifted() {
				t.Fatal("the process was held up until the limit was lifted")
			}
			waiting := 0
			for _, w := range stores {
				if _, _, ok := w.TryResult(); !ok {
					waiting++
				}
			}
			if waiting == 0 {
				t.Error("no store has waited for the device")
			}
			check(t, d.Hold(disk.Write, false))
			for _, w := range stores {
				must[int](t)(w.Await(bg))
			}
			check(t, f.Flush().Wait())
			if got := must[[]byte](t)(os.ReadFile(name)); len(got) != size || len(bytes.Trim(got, "x")) > 0 {
				t.Error("the file does not have what was stored")
			}
			counted(t, "%d of %d stores waited while another goroutine collected garbage", waiting, len(stores))
		})
	}
}

// limitDirty limits the dirty pages of the device that dir is on to so many
// bytes until lift is called, or for 20 s: a store that waits in a fault would
// hold up this process, so another one lifts the limit. lifted reports whether it
// has.
func limitDirty(t *testing.T, dir string, bytes int) (lifted func() bool, lift func()) {
	t.Helper()
	var st unix.Stat_t
	check(t, unix.Stat(dir, &st))
	bdi := fmt.Sprintf("/sys/class/bdi/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	for _, name := range []string{"strict_limit", "max_bytes", "max_ratio"} {
		if err := unix.Access(filepath.Join(bdi, name), unix.W_OK); err != nil {
			t.Skipf("this kernel does not limit the dirty pages of a device: %s: %v", name, err)
		}
	}
	return meanwhile(t, `cd "$0" && echo 1 > strict_limit && echo "$1" > max_bytes && echo limited && timeout 20 cat
		echo 100 > max_ratio; echo 0 > strict_limit`, bdi, fmt.Sprint(bytes))
}
