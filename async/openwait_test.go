package async_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

var waitRW = core.Options{Access: core.ReadWrite, Wait: true}

// waiting begins n openings of a file that is locked, and returns when all wait.
func waiting(t testing.TB, ctx context.Context, p *async.Pool, name string, o core.Options, n int) []*async.Future[*async.File] {
	t.Helper()
	all := make([]*async.Future[*async.File], n)
	for i := range all {
		before := p.Stats().Meta.Done
		all[i] = async.Open(ctx, p, name, o)
		settled(func() bool { return p.Stats().Meta.Done > before })
		pending(t, all[i])
	}
	return all
}

// A thousand openings that wait hold no worker and no goroutine: the one worker
// of the lane closes the file that they wait for, and opens others. They are
// served in order.
func TestOpeningsThatWait(t *testing.T) {
	n := 1000
	if testing.Short() {
		n = 50
	}
	testutil.RequireDescriptors(t, n+100)
	testutil.NoLeaks(t)
	p := narrow(t)
	name := diskFile(t, pattern(10))
	holder := opened(t, p, name, core.Options{Access: core.ReadWrite})
	before := runtime.NumGoroutine()
	all := waiting(t, bg, p, name, waitRW, n)
	settled(func() bool { return p.Stats().Meta.Running == 0 })
	if more := runtime.NumGoroutine() - before; more > 10 {
		t.Errorf("%d openings have %d goroutines", n, more)
	}
	check(t, onDisk(t, p, 10).Close())
	check(t, holder.Close())
	for i, a := range all {
		f, err := a.Await(bg)
		if err != nil {
			t.Fatalf("opening %d: %v", i, err)
		}
		for _, later := range all[i+1:] {
			pending(t, later)
		}
		check(t, f.Close())
	}
	free(t, name)
}

// Locks that are granted at once do not overflow the lane.
func TestOpeningsThatWaitAndAreGrantedAtOnce(t *testing.T) {
	const n = 100
	testutil.RequireDescriptors(t, 3*n)
	one := async.LaneOptions{Width: 1, Queue: 1}
	for _, full := range []bool{false, true} {
		p := open(t, async.PoolOptions{Meta: one})
		name := diskFile(t, pattern(10))
		holder, err := core.OpenFile(name, core.Options{Access: core.ReadWrite})
		check(t, err)
		all := waiting(t, bg, p, name, core.Options{Wait: true}, n)
		release := func() {}
		if full { // the lane accepts nothing
			release = occupy(t, p, async.LaneMeta, async.LaneMeta)
		}
		check(t, holder.Close())
		for i, a := range all {
			f, err := a.Await(bg)
			if err != nil {
				t.Fatalf("opening %d: %v", i, err)
			}
			defer func() { check(t, f.Close()) }()
		}
		release()
	}
}

// What ends a wait leaves nothing behind, and other waits as they are.
func TestOpeningsThatGiveUp(t *testing.T) {
	cause := errors.New("enough")
	for _, c := range []struct {
		name string
		end  func(p *async.Pool, cancel context.CancelCauseFunc) error
		want error
	}{
		{"context", func(_ *async.Pool, cancel context.CancelCauseFunc) error { cancel(cause); return nil }, cause},
		{"pool", func(p *async.Pool, _ context.CancelCauseFunc) error { return p.Close() }, async.ErrClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			testutil.NoLeaks(t)
			p, others := open(t, async.PoolOptions{}), open(t, async.PoolOptions{})
			name := diskFile(t, pattern(10))
			holder := opened(t, others, name, core.Options{Access: core.ReadWrite})
			ctx, cancel := context.WithCancelCause(bg)
			first := waiting(t, ctx, p, name, waitRW, 10)
			other := waiting(t, bg, others, name, waitRW, 1)[0]
			last := waiting(t, ctx, p, name, core.Options{Wait: true}, 10)
			check(t, c.end(p, cancel))
			for _, a := range append(first, last...) {
				wantErr(t, "given up", a.Wait(), c.want)
				if c.want == async.ErrClosed && a.Err() != c.want {
					t.Errorf("the pool's error is %v", a.Err())
				}
			}
			pending(t, other)
			check(t, holder.Close())
			f, err := other.Await(bg)
			check(t, err)
			check(t, f.Close())
			free(t, name)
		})
	}
	t.Run("before it begins", func(t *testing.T) {
		p := open(t, async.PoolOptions{})
		ctx, cancel := context.WithCancelCause(bg)
		cancel(cause)
		wantErr(t, "a context that is done", async.Open(ctx, p, "x", waitRW).Wait(), cause)
		check(t, p.Close())
		wantErr(t, "a closed pool", async.Open(bg, p, "x", waitRW).Wait(), async.ErrClosed)
	})
	t.Run("invalid", func(t *testing.T) {
		p := open(t, async.PoolOptions{})
		o := waitRW
		o.NoLock = true
		wantErr(t, "no lock to wait for", async.Open(bg, p, "x", o).Wait(), fs.ErrInvalid)
	})
}

// As each grant arrives, the context of the opening ends, or the pool closes.
func TestOpeningsThatGiveUpAsTheyAreGranted(t *testing.T) {
	testutil.NoLeaks(t)
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	for range rounds {
		name := diskFile(t, pattern(10))
		p := open(t, async.PoolOptions{})
		holder, err := core.OpenFile(name, core.Options{Access: core.ReadWrite})
		check(t, err)
		ctx, cancel := context.WithCancel(bg)
		given := waiting(t, ctx, p, name, waitRW, 1)[0]
		closed := waiting(t, bg, p, name, waitRW, 1)[0]
		var wg sync.WaitGroup
		wg.Go(cancel)
		wg.Go(func() { check(t, holder.Close()) })
		wg.Go(func() { check(t, p.Close()) })
		for _, a := range []*async.Future[*async.File]{given, closed} {
			f, err := a.Await(bg)
			switch {
			case err == nil:
				check(t, f.Close())
			case !errors.Is(err, context.Canceled) && !errors.Is(err, async.ErrClosed):
				t.Errorf("given up: %v", err)
			}
		}
		wg.Wait()
		free(t, name)
	}
}

// A file that is open already is waited for as well.
func TestMapThatWaits(t *testing.T) {
	p := narrow(t)
	name := diskFile(t, pattern(10))
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	check(t, err)
	defer file.Close()
	held := lock.New(file)
	check(t, held.Try(lock.Shared))
	another, err := os.OpenFile(name, os.O_RDWR, 0)
	check(t, err)
	defer another.Close()
	a := async.Map(bg, p, another, waitRW)
	settled(func() bool { return p.Stats().Meta.Done > 0 })
	pending(t, a)
	check(t, held.Release())
	f, err := a.Await(bg)
	check(t, err)
	if f.Core().Len() != 10 {
		t.Errorf("mapped %v", f)
	}
	check(t, f.Close())
}
