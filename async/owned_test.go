package async_test

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/lock"
)

// An owner makes a future of a resource.
type owner struct {
	name string
	make func(t *testing.T, p *async.Pool) owned
}

// owned is a future of a resource, whatever its type.
type owned struct {
	wait func() error             // waits, in ways that do not take the resource
	take map[string]func() func() // ways to take it; what they return releases it
	lose func(wrap string)        // puts the future into others, which are dropped
	free func() bool              // reports whether the resource has been released
}

// own describes a future, which only the returned functions refer to.
func own[T any](p *async.Pool, f *async.Future[T], free func() bool, release func(T)) owned {
	releases := func(v T, err error) func() {
		if err != nil {
			return nil
		}
		return func() { release(v) }
	}
	return owned{
		free: free,
		wait: func() error {
			<-f.Done()
			_ = f.Err()
			return f.Wait()
		},
		take: map[string]func() func(){
			"Await":     func() func() { return releases(f.Await(bg)) },
			"TryResult": func() func() { <-f.Done(); v, err, _ := f.TryResult(); return releases(v, err) },
			"Then": func() func() {
				same := func(_ context.Context, v T) (T, error) { return v, nil }
				return releases(async.Then(bg, p, f, same).Await(bg))
			},
			"All": func() func() {
				vs, err := async.All(f).Await(bg)
				if err != nil {
					return nil
				}
				return releases(vs[0], nil)
			},
			"Any": func() func() { return releases(async.Any(f).Await(bg)) },
		},
		lose: func(wrap string) {
			never, _ := async.Promise[T]()
			switch wrap {
			case "All":
				_ = async.All(f, async.Ready(*new(T))).Wait()
			case "Any":
				_ = async.Any(async.Failed[T](errBoom), f).Wait()
			case "All of All of Any": // what an Any owns is known only when it resolves
				_ = async.All(async.All(async.Any(f, never))).Wait()
			case "failed All": // which has taken nothing
				_ = f.Wait()
				_ = async.All(f, async.Failed[T](errBoom)).Wait()
			}
		},
	}
}

// unlocked reports whether no lock of the file is held.
func unlocked(f *async.File) bool {
	l := f.Core().NewLock()
	if l.Try(lock.Exclusive) != nil {
		return false
	}
	return l.Release() == nil
}

// unpinned reports whether no pin of the file is held. If so it empties the file.
func unpinned(f *async.File) bool {
	ready := false
	c, err := f.Core().StartTruncate(0, func(*core.Change) { ready = true })
	if err != nil {
		return false
	}
	if !ready && c.Cancel() {
		return false
	}
	return c.Finish() == nil
}

// owners are futures of everything that has to be released, made in every way.
var owners = []owner{
	{"pin of resident bytes", func(t *testing.T, p *async.Pool) owned {
		f := kinds[1].open(t, p, 100)
		return own(p, f.Load(bg, 0, 10), func() bool { return unpinned(f) }, (*core.Pin).Release)
	}},
	{"pin of cold bytes", func(t *testing.T, p *async.Pool) owned {
		f := onDisk(t, p, 100)
		watchCalls(t).failing("mincore", errors.ErrUnsupported)
		load := f.Load(bg, 0, 10)
		if s := f.Stats(); s.Cold != 1 {
			t.Fatalf("the bytes are not cold: %+v", s)
		}
		return own(p, load, func() bool { return unpinned(f) }, (*core.Pin).Release)
	}},
	{"lock that is free", func(t *testing.T, p *async.Pool) owned {
		f := onDisk(t, p, 100)
		return own(p, f.Lock(bg, lock.Exclusive), func() bool { return unlocked(f) }, func(l *async.FileLock) { _ = l.Release() })
	}},
	{"lock that is waited for", func(t *testing.T, p *async.Pool) owned {
		f := onDisk(t, p, 100)
		held, err := f.Lock(bg, lock.Exclusive).Await(bg)
		check(t, err)
		waits := f.Lock(bg, lock.Exclusive)
		pending(t, waits)
		check(t, held.Release())
		return own(p, waits, func() bool { return unlocked(f) }, func(l *async.FileLock) { _ = l.Release() })
	}},
	{"opened file", func(t *testing.T, p *async.Pool) owned {
		o := core.Options{Access: core.ReadWrite}
		name := diskFile(t, pattern(100))
		free := func() bool {
			f, err := core.OpenFile(name, o) // which locks it
			return err == nil && f.Close() == nil
		}
		return own(p, async.Open(bg, p, name, o), free, func(f *async.File) { _ = f.Close() })
	}},
}

// collections runs the garbage collector until it has finalized what was garbage
// before, some times over.
func collections() {
	for range 3 {
		c := new([4]int64) // not so small that it shares its block with something alive
		done := make(chan struct{})
		runtime.SetFinalizer(c, func(*[4]int64) { close(done) })
		c = nil
		settledGC(func() bool {
			select {
			case <-done:
				return true
			default:
				return false
			}
		})
	}
}

// TestDroppedFutureGivesBack: a resource whose future is collected before
// anything has taken it is released.
func TestDroppedFutureGivesBack(t *testing.T) {
	for _, x := range owners {
		t.Run(x.name, func(t *testing.T) {
			o := x.make(t, open(t, async.PoolOptions{}))
			check(t, o.wait())
			free := o.free
			o = owned{}
			settledGC(free)
		})
		for _, wrap := range []string{"All", "Any", "All of All of Any", "failed All"} {
			t.Run(x.name+", "+wrap, func(t *testing.T) {
				o := x.make(t, open(t, async.PoolOptions{}))
				o.lose(wrap)
				free := o.free
				o = owned{}
				settledGC(free)
			})
		}
	}
}

// TestTakenResourceIsNotGivenBack: it belongs to what took it.
func TestTakenResourceIsNotGivenBack(t *testing.T) {
	for _, x := range owners {
		for _, name := range []string{"Await", "TryResult", "Then", "All", "Any"} {
			t.Run(x.name+", "+name, func(t *testing.T) {
				o := x.make(t, open(t, async.PoolOptions{}))
				release := o.take[name]()
				free := o.free
				o = owned{}
				if release == nil {
					t.Fatal("the future failed")
				}
				collections()
				if free() {
					t.Error("it was released, but is in use")
				}
				release()
				settled(free)
			})
		}
	}
}

// TestAnyOfOtherwiseOwned: what no future owned is not released because it came
// through an Any with one that would have owned its value.
func TestAnyOfOtherwiseOwned(t *testing.T) {
	p := open(t, async.PoolOptions{})
	f := onDisk(t, p, 100)
	held, err := f.Lock(bg, lock.Exclusive).Await(bg)
	check(t, err)
	ctx, cancel := context.WithCancel(bg)
	defer cancel()
	check(t, async.Any(f.Lock(ctx, lock.Exclusive), async.Ready(held)).Wait())
	collections()
	if unlocked(f) {
		t.Error("it was released, but is in use")
	}
	check(t, held.Release())
}
