package torture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"strconv"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/lock"
)

// An operation is something that a worker does.
type operation struct {
	name                 string
	stores, whole, waits bool // whole: loads what others store
	rare                 int  // done once in so many times; 0 means always
	do                   func(w *worker, f *sharedFile) error
}

// operations are all that the packages offer.
var operations = []operation{
	{name: "View", do: func(w *worker, f *sharedFile) error {
		off, n := w.any()
		return f.Core().View(func(b []byte) error {
			lo, hi := min(off, int64(len(b))), min(off+n, int64(len(b)))
			return letters.genuine(b[lo:hi], lo)
		})
	}},
	{name: "Update", stores: true, do: func(w *worker, f *sharedFile) error {
		off, n := w.mine()
		return f.Core().Update(func(b []byte) error {
			lo, hi := min(off, int64(len(b))), min(off+n, int64(len(b)))
			letters.store(b[lo:hi], lo)
			return nil
		})
	}},
	{name: "Pin", do: func(w *worker, f *sharedFile) error {
		p, err := f.Core().Pin(w.any())
		if err == nil {
			w.keep(p)
		}
		return err
	}},
	{name: "Pin.Do", do: func(w *worker, f *sharedFile) error {
		for _, p := range w.pins {
			if err := p.Do(func(b []byte) error { return letters.genuine(b, p.Offset()) }); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "Pin's calls", do: func(w *worker, f *sharedFile) error {
		for _, p := range w.pins {
			_, _, err := p.Resident()
			if err = errors.Join(w.expected(err), w.expected(p.Populate()), w.expected(p.Advise(core.AdviceNormal))); err != nil {
				return err
			}
		}
		return nil
	}},
	{name: "Slice and At", do: func(w *worker, f *sharedFile) error {
		off, n := w.any()
		p, err := f.Core().Pin(off&^7, n&^7)
		if err != nil {
			return err
		}
		defer p.Release()
		words, err := core.Slice[uint64](p, 0, int(p.Len()/8))
		if err != nil || len(words) == 0 {
			return err
		}
		first, err := core.At[uint64](p, 0)
		if err == nil {
			err = letters.genuine(binary.NativeEndian.AppendUint64(nil, *first), p.Offset())
		}
		return err
	}},
	{name: "ReadAt", do: func(w *worker, f *sharedFile) error {
		off, n := w.any()
		b := make([]byte, n)
		m, err := f.Core().ReadAt(b, off)
		return either(err, letters.genuine(b[:m], off))
	}},
	{name: "WriteAt", stores: true, do: func(w *worker, f *sharedFile) error {
		off, n := w.mine()
		return second(f.Core().WriteAt(pattern(off, int(n), 0), off))
	}},
	{name: "WriteAtCall", stores: true, do: func(w *worker, f *sharedFile) error {
		off, n := w.mine()
		return second(f.Core().WriteAtCall(pattern(off, int(n), 0), off))
	}},
	{name: "TryWriteAt", stores: true, do: func(w *worker, f *sharedFile) error {
		off, n := w.mine()
		return second(f.Core().TryWriteAt(pattern(off, int(n), 0), off))
	}},
	{name: "Get and Next", do: func(w *worker, f *sharedFile) error {
		off, _ := w.any()
		v, err := core.Get[uint32](f.Core(), off, binary.LittleEndian)
		if err != nil {
			return err
		}
		if err := letters.genuine(binary.LittleEndian.AppendUint32(nil, v), off); err != nil {
			return err
		}
		r, err := f.Core().NewReader(off, 4)
		if err != nil {
			return err
		}
		return second(core.Next[uint16](r, binary.BigEndian))
	}},
	{name: "Put and PutNext", stores: true, do: func(w *worker, f *sharedFile) error {
		off, n := w.mine()
		if n < 4 {
			return nil
		}
		v := binary.LittleEndian.Uint32(pattern(off, 4, 0))
		if err := core.Put(f.Core(), off, binary.LittleEndian, v); err != nil {
			return err
		}
		wr, err := f.Core().NewWriter(off, 4)
		if err != nil {
			return err
		}
		return core.PutNext(wr, binary.LittleEndian, v)
	}},
	{name: "Reader", do: func(w *worker, f *sharedFile) error {
		off, n := w.any()
		r, err := f.Core().NewReader(off, n)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		_, err = r.WriteTo(&b)
		return either(err, letters.genuine(b.Bytes(), off))
	}},
	{name: "Writer", stores: true, do: func(w *worker, f *sharedFile) error {
		off, n := w.mine()
		wr, err := f.Core().NewWriter(off, n)
		if err != nil {
			return err
		}
		return second(io.Copy(wr, bytes.NewReader(pattern(off, int(n), 0))))
	}},
	{name: "Zero", stores: true, do: func(w *worker, f *sharedFile) error { return f.Core().Zero(w.mine()) }},
	{name: "PunchHole", stores: true, do: func(w *worker, f *sharedFile) error { return f.Core().PunchHole(w.mine()) }},
	{name: "Clone", whole: true, do: func(w *worker, f *sharedFile) error {
		b, err := f.Core().Clone()
		return either(err, letters.genuine(b, 0))
	}},
	{name: "CopyToContext", rare: 20, do: func(w *worker, f *sharedFile) error {
		off, n := w.any()
		return f.Core().CopyToContext(w.ctx(), w.name("copy"), off, n)
	}},
	{name: "Flush", do: func(w *worker, f *sharedFile) error { return f.Core().Flush() }},
	{name: "FlushRange", do: func(w *worker, f *sharedFile) error { return f.Core().FlushRange(w.any()) }},
	{name: "StartWriteback", do: func(w *worker, f *sharedFile) error { return f.Core().StartWriteback(w.any()) }},
	{name: "Truncate", waits: true, do: func(w *worker, f *sharedFile) error {
		return f.Core().TruncateContext(w.ctx(), w.size())
	}},
	{name: "StartTruncate", do: func(w *worker, f *sharedFile) error {
		c, err := f.Core().StartTruncate(w.size(), nil)
		if err != nil {
			return err
		}
		if w.rnd.IntN(2) == 0 && c.Cancel() {
			return nil
		}
		c.Detach()
		return nil
	}},
	{name: "Refresh", waits: true, do: func(w *worker, f *sharedFile) error { return second(f.Core().Refresh()) }},
	{name: "Freeze", waits: true, rare: 40, do: func(w *worker, f *sharedFile) error { return f.Core().Freeze() }},
	{name: "Remove", rare: 20, do: func(w *worker, f *sharedFile) error {
		return supported(f.Core().Remove())
	}},
	{name: "Close and open again", waits: true, rare: 5, do: func(w *worker, f *sharedFile) error { return w.reopen(w.ctx(), f) }},
	{name: "memory's calls", do: func(w *worker, f *sharedFile) error {
		off, n := w.any()
		_, _, err := f.Core().Resident(off, n)
		return errors.Join(w.expected(err), w.expected(f.Core().Populate(off, n)), w.expected(f.Core().Advise(core.AdviceWillNeed, off, n)),
			w.expected(f.Core().LockMemory(off, min(n, 4*kib))), w.expected(f.Core().UnlockMemory(off, min(n, 4*kib))))
	}},
	{name: "what it is", do: func(w *worker, f *sharedFile) error {
		_, _, _, _ = f.Core().Name(), f.Core().Access(), f.Core().Fd(), f.Core().InUse()
		_, err := f.Core().Stat()
		if f.Core().Len() < 0 {
			err = errForeign
		}
		return err
	}},

	{name: "Lock.Try", do: func(w *worker, f *sharedFile) error {
		l := w.lock()
		err := l.Try(w.mode())
		return either(err, l.Release())
	}},
	{name: "Lock.Acquire", do: func(w *worker, f *sharedFile) error {
		l := w.lock()
		if err := l.Acquire(w.ctx(), w.mode()); err != nil {
			return err
		}
		defer l.Release()
		ctx, cancel := context.WithCancelCause(bg) // two waiters that convert would wait for each other
		w.soon(func() { cancel(errEnded) })
		err := l.Acquire(ctx, w.mode())
		l.Held()
		return err
	}},

	{name: "Commit", do: func(w *worker, f *sharedFile) error {
		off, n := w.any()
		return f.commits.Commit(off, n).Wait(w.ctx())
	}},
	{name: "Committer.Flush", do: func(w *worker, f *sharedFile) error {
		off, n := w.any()
		return f.commits.Flush(w.ctx(), off, n)
	}},
	{name: "CommitAll", do: func(w *worker, f *sharedFile) error {
		b, done := f.commits.CommitAll(), make(chan error, 1)
		b.OnDone(func(err error) { done <- err })
		return <-done
	}},
	{name: "MarkDirty and Barrier", do: func(w *worker, f *sharedFile) error {
		f.ground.MarkDirty(8 * kib)
		f.commits.Stats()
		return f.ground.Barrier().Wait(w.ctx())
	}},
	{name: "Pause, Force and Resume", do: func(w *worker, f *sharedFile) error {
		f.ground.Pause()
		f.ground.Force()
		f.ground.Resume()
		return nil
	}},

	{name: "async ReadAt", do: func(w *worker, f *sharedFile) error {
		off, n := w.any()
		b := make([]byte, n)
		m, err := settled(w, f.ReadAt(w.ctx(), b, off))
		return either(err, letters.genuine(b[:m], off))
	}},
	{name: "async WriteAt", stores: true, do: func(w *worker, f *sharedFile) error {
		off, n := w.mine()
		return second(settled(w, f.WriteAt(w.ctx(), pattern(off, int(n), 0), off)))
	}},
	{name: "async Load", do: func(w *worker, f *sharedFile) error {
		off, n := w.any()
		p, err := settled(w, f.Load(w.ctx(), off, n))
		if err == nil {
			w.keep(p)
		}
		return err
	}},
	{name: "TryLoad", do: func(w *worker, f *sharedFile) error {
		if p, ok := f.TryLoad(w.any()); ok {
			w.keep(p)
		}
		return nil
	}},
	{name: "async PageIn", do: func(w *worker, f *sharedFile) error {
		off, n := w.any()
		return second(settled(w, f.PageIn(w.ctx(), off, n)))
	}},
	{name: "Stream", do: func(w *worker, f *sharedFile) error {
		off, n := w.any()
		for p, err := range f.Stream(w.ctx(), off, n, 10_000, 2) {
			if err != nil {
				return err
			}
			if err := p.Do(func(b []byte) error { return letters.genuine(b, p.Offset()) }); err != nil || w.rnd.IntN(4) == 0 {
				return err
			}
		}
		return nil
	}},
	{name: "async Flush", do: func(w *worker, f *sharedFile) error { return second(settled(w, f.Flush())) }},
	{name: "async FlushRange", do: func(w *worker, f *sharedFile) error { return second(settled(w, f.FlushRange(w.any()))) }},
	{name: "async Truncate", waits: true, do: func(w *worker, f *sharedFile) error {
		return second(settled(w, f.Truncate(w.ctx(), w.size())))
	}},
	{name: "async Advise", do: func(w *worker, f *sharedFile) error {
		off, n := w.any()
		return supported(second(settled(w, f.Advise(w.ctx(), core.AdviceWillNeed, off, n))))
	}},
	{name: "async Lock", waits: true, do: func(w *worker, f *sharedFile) error {
		h, err := settled(w, f.Lock(w.ctx(), w.mode()))
		if err == nil {
			err = h.Release()
		}
		return supported(err)
	}},
	{name: "async CopyTo", rare: 20, do: func(w *worker, f *sharedFile) error {
		off, n := w.any()
		return second(settled(w, f.CopyTo(w.ctx(), w.name("async copy"), off, n)))
	}},
	{name: "All, Any, Completed and Then", do: func(w *worker, f *sharedFile) error {
		ctx := w.ctx()
		a, b := f.PageIn(ctx, 0, 1), f.FlushRange(0, 1)
		for range async.Completed(ctx, a, b) {
			if w.rnd.IntN(4) == 0 {
				break
			}
		}
		then := async.Then(ctx, w.pool, b, func(context.Context, struct{}) (int, error) { return 1, nil })
		_, err := settled(w, async.All(a, async.Any(a, b)))
		return errors.Join(w.expected(err), w.expected(second(settled(w, then))))
	}},
	{name: "Go and Cancel", do: func(w *worker, f *sharedFile) error {
		fut := async.Go(w.ctx(), w.pool, func(ctx context.Context) (int, error) { return 1, ctx.Err() })
		if w.rnd.IntN(2) == 0 {
			fut.Cancel(errEnded)
		}
		f.Stats()
		w.pool.Stats()
		return second(settled(w, fut))
	}},
}

// letters is what is stored in a race: letters of salt 0.
var letters = &victim{}

// settled awaits a future with a context of its own, and then to its end: what
// it works on is needed again.
func settled[T any](w *worker, fut *async.Future[T]) (v T, err error) {
	v, err = fut.Await(w.ctx())
	<-fut.Done()
	if waiting := (*async.AwaitError)(nil); errors.As(err, &waiting) {
		return fut.Await(bg)
	}
	return v, err
}

// keep keeps a pin for a while.
func (w *worker) keep(p *core.Pin) {
	w.pins = append(w.pins, p)
	if len(w.pins) > 3 {
		w.letGo()
	}
}

// supported is no error when memory has no file with which to do something.
func supported(err error) error {
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// size is a length for the file, seldom one that cuts off what workers use.
func (w *worker) size() int64 {
	if w.rnd.IntN(8) == 0 {
		return w.rnd.Int64N(shared)
	}
	return shared + w.rnd.Int64N(2*shared)
}

func (w *worker) mode() lock.Mode { return []lock.Mode{lock.Shared, lock.Exclusive}[w.rnd.IntN(2)] }

// lock is a lock of its own, which conflicts with those of others, on the whole
// or on a range of the guard.
func (w *worker) lock() *lock.Lock {
	if w.rnd.IntN(2) == 0 {
		return lock.New(w.guards[w.id])
	}
	return lock.New(w.guards[w.id]).Range(w.rnd.Int64N(10), 5)
}

// name is the name of a file that is the worker's own.
func (w *worker) name(what string) string { return filepath.Join(w.dir, what+strconv.Itoa(w.id)) }
