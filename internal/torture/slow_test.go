package torture

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

// While a device reads nothing at all, no call for its pages waits, although far
// more are made than its queue holds; and a file on another device is read as if
// it were alone. It has responded before, so that it was found out what it takes,
// and so it is if more than what is asked for is read.
func TestDeviceThatDoesNotRespond(t *testing.T) {
	for _, queue := range []int{12, 512} { // the default of FUSE, and more than is ever started
		for _, order := range []core.Advice{core.AdviceRandom, core.AdviceNormal} {
			t.Run(fmt.Sprintf("queue of %d, %v", queue, order), func(t *testing.T) {
				testDeviceThatDoesNotRespond(t, queue, order)
			})
		}
	}
}

func testDeviceThatDoesNotRespond(t *testing.T, queue int, order core.Advice) {
	const loads, earlier, apart = 700, 200, 64 << 10
	d := disk.StartAs(t, disk.Options{Size: (loads + earlier) * apart, Queue: queue})
	local := filepath.Join(t.TempDir(), "local")
	check(t, os.WriteFile(local, pattern(0, mib, 1), 0o600))
	pool := must[*async.Pool](t)(async.NewPool(async.PoolOptions{}))
	defer func() { check(t, pool.Close()) }()
	open := func(name string) *async.File {
		f := must[*async.File](t)(async.Open(bg, pool, name, core.Options{NoLock: true}).Await(bg))
		_ = f.Core().Advise(order, 0, f.Core().Len())
		return f
	}
	slow, quick := open(d.File()), open(local)
	defer func() { check(t, slow.Close()); check(t, quick.Close()) }()

	check(t, d.Delay(disk.Read, time.Millisecond))
	var before []*async.Future[struct{}]
	for i := range int64(earlier) {
		before = append(before, slow.PageIn(bg, (loads+i)*apart, 4096))
	}
	check(t, before[earlier/2].Wait())
	check(t, d.Hold(disk.Read, true))
	check(t, d.Delay(disk.Read, 0))
	var held []*async.Future[*core.Pin]
	for i := range int64(loads) {
		held = append(held, slow.Load(bg, i*apart, 4096)) // would not return if it waited
	}
	long := slow.PageIn(bg, 0, loads*apart)
	for i := range int64(10) {
		_ = quick.Core().Advise(core.AdviceDontNeed, 0, mib)
		pin := must[*core.Pin](t)(quick.Load(bg, i*100_000, 4096).Await(bg))
		pin.Release()
		check(t, quick.Advise(bg, core.AdviceWillNeed, 0, mib).Wait())
	}
	if s := pool.Stats().Page; s.Queued+s.Running < loads {
		t.Errorf("%d page-ins are queued or run, want those of the held device", s.Queued+s.Running)
	}
	check(t, d.Hold(disk.Read, false))
	for _, load := range held {
		must[*core.Pin](t)(load.Await(bg)).Release()
	}
	check(t, long.Wait())
	for _, in := range before {
		check(t, in.Wait())
	}
	counted(t, "%d calls beside a device that did not respond", loads)
}
