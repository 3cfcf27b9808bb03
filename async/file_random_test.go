package async_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/lock"
)

// Operations in any order, canceled at any time, over lanes that overflow, on a
// file that may be closed meanwhile: each future resolves, with one of the
// outcomes that it may have; bytes that were written are read; and in the end no
// pin, no lock and no operation is left.
func TestRandomInterleavings(t *testing.T) {
	needsFiles(t)
	rounds := 1000
	if testing.Short() {
		rounds = 100
	}
	seed := testutil.Seed(t)
	dir := t.TempDir()
	for i := range rounds {
		randomRound(t, rand.New(rand.NewPCG(seed, uint64(i))), dir)
		if t.Failed() {
			t.Fatalf("in round %d", i)
		}
	}
}

const (
	actors   = 3
	slotSize = 10_000            // of an actor: its bytes are its own
	leastLen = actors * slotSize // the file never gets shorter
	mostLen  = 20 * slotSize
)

func randomRound(t *testing.T, r *rand.Rand, dir string) {
	lane := func() async.LaneOptions { return async.LaneOptions{Width: 1 + r.IntN(2), Queue: 1 + r.IntN(8)} }
	p, err := async.NewPool(async.PoolOptions{
		Executor: blockable[r.IntN(len(blockable))].make(),
		Short:    lane(), Flush: lane(), Page: lane(), Meta: lane(),
	})
	check(t, err)
	f := randomFile(t, r, p, filepath.Join(dir, "file"))
	if r.IntN(2) == 0 { // residency is not reported: all goes to the pager
		defer sys.Inject(func(op sys.Op) error {
			if op == sys.OpMincore {
				return errors.ErrUnsupported
			}
			return nil
		})()
	}
	drops := r.IntN(50) == 0
	if drops { // others may wait for what only the garbage collector gives back
		over := make(chan struct{})
		var collector sync.WaitGroup
		collector.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					runtime.GC()
				}
			}
		})
		defer collector.Wait()
		defer close(over)
	}

	var wg sync.WaitGroup
	for i := range int64(actors) {
		a := &actor{t: t, f: f, r: rand.New(rand.NewPCG(r.Uint64(), 0)), slot: i * slotSize, drops: drops, model: make([]byte, slotSize)}
		check(t, f.Core().View(func(b []byte) error { copy(a.model, b[a.slot:]); return nil }))
		wg.Go(a.run)
	}
	if r.IntN(4) == 0 {
		wg.Go(func() {
			for range 20 {
				runtime.Gosched()
			}
			f.StartClose(bg)
		})
	}
	wg.Wait()
	if err := f.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Close: %v", err)
	}
	// Pins and locks have gone when the file below is closed.
	settled(func() bool { return async.Refs(f) == 0 && async.Locks(f) == 0 })
	check(t, p.Close())
	if _, err := os.Stat(f.Core().Name()); err == nil && f.Core().Access() == core.ReadWrite {
		settled(func() bool { // a Close that was first may be finishing
			other, err := core.OpenFile(f.Core().Name(), core.Options{Access: core.ReadWrite})
			if err == nil {
				check(t, other.Close())
			}
			return err == nil
		})
	}
}

func randomFile(t *testing.T, r *rand.Rand, p *async.Pool, name string) *async.File {
	t.Helper()
	b := pattern(mostLen)
	switch r.IntN(5) {
	case 0:
		return async.Wrap(p, core.NewMemory("memory", b))
	case 1:
		c, err := core.NewAnonymous(mostLen, core.Options{})
		check(t, err)
		return async.Wrap(p, c)
	}
	check(t, os.WriteFile(name, b, 0o644))
	f, err := async.Open(bg, p, name, core.Options{Access: core.ReadWrite}).Await(bg)
	check(t, err)
	return f
}

// An actor does random things to a file.
type actor struct {
	t     *testing.T
	f     *async.File
	r     *rand.Rand
	drops bool // futures without ever taking what is in them
	slot  int64
	model []byte // of its slot
	pins  []*core.Pin
	locks []*async.FileLock
}

func (a *actor) run() {
	for range 15 {
		ctx, cancel := a.context()
		a.step(ctx)
		cancel()
	}
	for _, p := range a.pins {
		p.Release()
	}
	for _, h := range a.locks {
		check(a.t, h.Release())
	}
}

// context is one that is never done, already done, or done at any time.
func (a *actor) context() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(bg)
	switch a.r.IntN(6) {
	case 0:
		cancel()
	case 1, 2:
		n := a.r.IntN(50)
		go func() {
			for range n {
				runtime.Gosched()
			}
			cancel()
		}()
	}
	return ctx, cancel
}

func (a *actor) step(ctx context.Context) {
	off := a.r.Int64N(mostLen)
	n := a.r.Int64N(mostLen - off)
	if a.r.IntN(2) == 0 {
		n = min(n, 5000)
	}
	switch a.r.IntN(12) {
	case 0:
		finish(a, a.f.PageIn(ctx, off, n), core.ErrRange)
	case 1, 2:
		if pin, ok := finish(a, a.f.Load(ctx, off, n), core.ErrRange); ok {
			a.keep(pin)
		}
	case 3, 4:
		a.write(ctx)
	case 5, 6:
		a.read(ctx)
	case 7:
		finish(a, a.f.Truncate(ctx, leastLen+a.r.Int64N(mostLen-leastLen)))
	case 8:
		if held, ok := finish(a, a.f.Lock(ctx, lock.Mode(1+a.r.IntN(2))), errors.ErrUnsupported, lock.ErrDeadlock); ok {
			if a.locks = append(a.locks, held); a.r.IntN(4) > 0 {
				check(a.t, held.Release())
			}
		}
	case 9:
		finish(a, a.f.Flush())
	case 10:
		finish(a, a.f.FlushRange(off, n), core.ErrRange)
	case 11:
		for pin, err := range a.f.Stream(ctx, 0, leastLen, 1+a.r.Int64N(leastLen), a.r.IntN(4)) {
			if err != nil {
				a.allowed(err)
			} else if a.r.IntN(8) == 0 {
				pin.Release()
				break
			}
		}
	}
}

// keep keeps a pin for a while. What other actors wait for may wait for the pin, so
// an actor that waits holds none: see finish.
func (a *actor) keep(p *core.Pin) {
	a.pins = append(a.pins, p)
	if len(a.pins) > 2 {
		a.pins[0].Release()
		a.pins = a.pins[1:]
	}
}

func (a *actor) write(ctx context.Context) {
	off := a.r.IntN(slotSize)
	b := make([]byte, a.r.IntN(slotSize-off)+1)
	for i := range b {
		b[i] = byte(a.r.Uint32())
	}
	defer func(drops bool) { a.drops = drops }(a.drops)
	a.drops = false // or the model does not know the bytes
	if n, ok := finish(a, a.f.WriteAt(ctx, b, a.slot+int64(off))); ok {
		if n != len(b) {
			a.t.Errorf("WriteAt: got %d bytes, want %d", n, len(b))
		}
		copy(a.model[off:], b)
	}
}

func (a *actor) read(ctx context.Context) {
	off := a.r.IntN(slotSize)
	b := make([]byte, a.r.IntN(slotSize-off)+1)
	if n, ok := finish(a, a.f.ReadAt(ctx, b, a.slot+int64(off)), io.EOF); ok {
		if n != len(b) || !bytes.Equal(b, a.model[off:off+n]) {
			a.t.Errorf("ReadAt: other bytes than were written")
		}
	}
}

// finish waits for a future, sometimes after a try to cancel it, and returns its
// value if it has succeeded.
func finish[T any](a *actor, f *async.Future[T], others ...error) (T, bool) {
	if a.r.IntN(6) == 0 && f.Cancel(nil) && !errors.Is(f.Err(), context.Canceled) {
		a.t.Errorf("cancelled: got error %v", f.Err())
	}
	if a.r.IntN(2) == 0 {
		runtime.Gosched()
	}
	// A change may wait for this very actor's pins, a lock for its locks.
	for _, p := range a.pins {
		p.Release()
	}
	a.pins = nil
	for _, h := range a.locks {
		check(a.t, h.Release())
	}
	a.locks = nil
	if a.drops && a.r.IntN(4) == 0 {
		var none T
		return none, false
	}
	v, err := f.Await(bg)
	if err != nil {
		a.allowed(err, others...)
	}
	return v, err == nil
}

// allowed checks that an operation may have failed in this way.
func (a *actor) allowed(err error, others ...error) {
	for _, ok := range append(others, context.Canceled, async.ErrOverloaded, fs.ErrClosed) {
		if errors.Is(err, ok) {
			return
		}
	}
	a.t.Errorf("error %v, want another", err)
}
