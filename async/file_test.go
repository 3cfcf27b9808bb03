package async_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/lock"
)

// forEach runs a test over all executors and kinds of files.
func forEach(t *testing.T, n int, test func(t *testing.T, f *async.File, only bool)) {
	for _, e := range backends {
		for _, k := range kinds {
			t.Run(e.name+"/"+k.name, func(t *testing.T) {
				p := open(t, async.PoolOptions{Executor: e.make()})
				test(t, k.open(t, p, n), k.only)
			})
		}
	}
}

func TestFileOperations(t *testing.T) {
	const size = 300_000
	forEach(t, size, func(t *testing.T, f *async.File, only bool) {
		model := pattern(size)
		for _, c := range []struct{ off, n int }{{0, 1}, {4095, 2}, {1000, 70_000}, {0, size}, {size, 0}} {
			pin, err := f.Load(bg, int64(c.off), int64(c.n)).Await(bg)
			check(t, err)
			if got := pin.Bytes(); !bytes.Equal(got, model[c.off:c.off+c.n]) {
				t.Errorf("Load(%d, %d): other bytes", c.off, c.n)
			}
			pin.Release()
			want(t, f.PageIn(bg, int64(c.off), int64(c.n)), struct{}{}, nil)
			b := make([]byte, c.n)
			want(t, f.ReadAt(bg, b, int64(c.off)), c.n, nil)
			if !bytes.Equal(b, model[c.off:c.off+c.n]) {
				t.Errorf("ReadAt(%d, %d): other bytes", c.off, c.n)
			}
			for i := range b {
				b[i] ^= 0xff
			}
			copy(model[c.off:], b)
			want(t, f.WriteAt(bg, b, int64(c.off)), c.n, nil)
		}
		want(t, f.ReadAt(bg, make([]byte, 20), size-10), 10, io.EOF)
		want(t, f.ReadAt(bg, make([]byte, 20), size+10), 0, io.EOF)
		want(t, f.Flush(), struct{}{}, nil)
		want(t, f.FlushRange(4000, 5000), struct{}{}, nil)
		want(t, f.FlushRange(size, 0), struct{}{}, nil)

		check(t, f.Truncate(bg, 2*size).Wait())
		check(t, f.Truncate(bg, size/2).Wait())
		if got := f.Core().Len(); got != size/2 {
			t.Errorf("Len after Truncate: got %d, want %d", got, size/2)
		}
		var got []byte
		check(t, f.Core().View(func(b []byte) error { got = append(got, b...); return nil }))
		if !bytes.Equal(got, model[:size/2]) {
			t.Error("the window holds other bytes than were written")
		}
		copied := filepath.Join(t.TempDir(), "copy")
		check(t, f.CopyTo(bg, copied, 100, 1000).Wait())
		if b, err := os.ReadFile(copied); err != nil || !bytes.Equal(b, model[100:1100]) {
			t.Errorf("CopyTo: other bytes, or error %v", err)
		}
		held, err := f.Lock(bg, lock.Exclusive).Await(bg)
		removed := f.Remove(bg).Wait()
		if only {
			wantErr(t, "Lock", err, errors.ErrUnsupported)
			wantErr(t, "Remove", removed, errors.ErrUnsupported)
		} else {
			check(t, err)
			if got := held.Mode(); got != lock.Exclusive {
				t.Errorf("mode: got %v, want exclusive", got)
			}
			check(t, held.Release())
			check(t, held.Release())
			check(t, removed)
			if _, err := os.Stat(f.Core().Name()); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Stat of the removed name: got %v, want that it does not exist", err)
			}
		}
		check(t, f.Close())
		wantErr(t, "second Close", f.Close(), fs.ErrClosed)
		if n := async.Refs(f); n != 0 {
			t.Errorf("%d operations have not left the file", n)
		}
	})
}

// operations lists all operations of a file, for what holds for each.
var operations = []struct {
	name string
	meta bool // always goes through a lane
	call func(ctx context.Context, f *async.File) waiter
}{
	{"PageIn", false, func(ctx context.Context, f *async.File) waiter { return f.PageIn(ctx, 0, 10) }},
	{"Load", false, func(ctx context.Context, f *async.File) waiter { return f.Load(ctx, 0, 10) }},
	{"ReadAt", false, func(ctx context.Context, f *async.File) waiter { return f.ReadAt(ctx, make([]byte, 10), 0) }},
	{"WriteAt", false, func(ctx context.Context, f *async.File) waiter { return f.WriteAt(ctx, make([]byte, 10), 0) }},
	{"Advise", true, func(ctx context.Context, f *async.File) waiter { return f.Advise(ctx, core.AdviceWillNeed, 0, 10) }},
	{"Truncate", true, func(ctx context.Context, f *async.File) waiter { return f.Truncate(ctx, 5000) }},
	{"Lock", false, func(ctx context.Context, f *async.File) waiter { return f.Lock(ctx, lock.Shared) }},
	{"CopyTo", true, func(ctx context.Context, f *async.File) waiter { return f.CopyTo(ctx, f.Core().Name()+"2", 0, 10) }},
	{"Remove", true, func(ctx context.Context, f *async.File) waiter { return f.Remove(ctx) }},
	{"Flush", false, func(_ context.Context, f *async.File) waiter { return f.Flush() }},
	{"FlushRange", false, func(_ context.Context, f *async.File) waiter { return f.FlushRange(0, 10) }},
}

// Every method of a File that returns a future is in the list, except StartClose,
// after which there is no file.
func TestEveryOperationIsListed(t *testing.T) {
	listed := map[string]bool{"StartClose": true}
	for _, o := range operations {
		listed[o.name] = true
	}
	future := reflect.TypeFor[waiter]()
	for m := range reflect.TypeFor[*async.File]().Methods() {
		if m.Type.NumOut() == 1 && m.Type.Out(0).Implements(future) && !listed[m.Name] {
			t.Errorf("operations has no %s", m.Name)
		}
	}
}

// waiter has the methods of all futures.
type waiter interface {
	Wait() error
	Err() error
	Done() <-chan struct{}
}

// giveBack releases the pin of a Load that has succeeded.
func giveBack(w waiter) {
	if load, ok := w.(*async.Future[*core.Pin]); ok {
		if pin, err, ok := load.TryResult(); ok && err == nil {
			pin.Release()
		}
	}
}

// An operation that comes after Close fails, also while the closing waits.
func TestOperationsOnClosedFile(t *testing.T) {
	p := open(t, async.PoolOptions{})
	for _, o := range operations {
		t.Run(o.name, func(t *testing.T) {
			f := onDisk(t, p, 10_000)
			pin := pinned(t, f, 0, 10)
			closing := f.StartClose(bg)
			err := o.call(bg, f).Wait() // at once: the closing still waits for the pin
			wantErr(t, "operation after Close", err, fs.ErrClosed)
			var pe *fs.PathError
			if !errors.As(err, &pe) || pe.Path != f.Core().Name() {
				t.Errorf("error %v does not name the file", err)
			}
			pending(t, closing)
			pin.Release()
			check(t, closing.Wait())
		})
	}
	t.Run("background", func(t *testing.T) {
		f := onDisk(t, p, 10)
		check(t, f.Close())
		_, err := f.StartBackground(flush.Policy{})
		wantErr(t, "StartBackground", err, fs.ErrClosed)
	})
}

// A context that is done keeps every operation from beginning.
func TestOperationsWithDoneContext(t *testing.T) {
	p := open(t, async.PoolOptions{})
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(bg)
	cancel(cause)
	for _, o := range operations {
		if o.name == "Flush" || o.name == "FlushRange" { // they have no context
			continue
		}
		t.Run(o.name, func(t *testing.T) {
			f := onDisk(t, p, 10_000)
			if err := o.call(ctx, f).Wait(); err != cause {
				t.Errorf("got %v, want the context's cause", err)
			}
			if n := f.Core().Len(); n != 10_000 {
				t.Errorf("the file is %d bytes long now", n)
			}
		})
	}
	t.Run("open", func(t *testing.T) {
		needsFiles(t)
		name := filepath.Join(t.TempDir(), "file")
		_, err := async.Open(ctx, p, name, core.Options{Access: core.ReadWrite, Create: true}).Await(bg)
		wantErr(t, "Open", err, cause)
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Error("Open with a context that is done has made the file")
		}
	})
}

func TestRefusals(t *testing.T) {
	p := open(t, async.PoolOptions{})
	const size = 10_000
	rw := onDisk(t, p, size)
	ro := opened(t, p, diskFile(t, pattern(size)), core.Options{})
	cow := opened(t, p, diskFile(t, pattern(size)), core.Options{Access: core.CopyOnWrite})
	b := make([]byte, 10)
	for _, c := range []struct {
		name string
		f    waiter
		want error
	}{
		{"load past the end", rw.Load(bg, size-5, 10), core.ErrRange},
		{"load overflowing", rw.Load(bg, 5, 1<<63-1), core.ErrRange},
		{"load negative", rw.Load(bg, -1, 5), core.ErrRange},
		{"page-in past the end", rw.PageIn(bg, size-5, 10), core.ErrRange},
		{"page-in negative length", rw.PageIn(bg, 5, -1), core.ErrRange},
		{"read negative", rw.ReadAt(bg, b, -1), core.ErrRange},
		{"write past the end", rw.WriteAt(bg, b, size-5), core.ErrRange},
		{"write negative", rw.WriteAt(bg, b, -1), core.ErrRange},
		{"write far out", rw.WriteAt(bg, b, 1<<63-1), core.ErrRange},
		{"write read-only", ro.WriteAt(bg, b, 0), core.ErrReadOnly},
		{"write copy-on-write", cow.WriteAt(bg, b, 0), nil},
		{"flush past the end", rw.FlushRange(size-5, 10), core.ErrRange},
		{"flush overflowing", rw.FlushRange(5, 1<<63-1), core.ErrRange},
		{"flush negative", rw.FlushRange(-5, 10), core.ErrRange},
		{"flush read-only", ro.Flush(), core.ErrReadOnly},
		{"flush range read-only", ro.FlushRange(0, 10), core.ErrReadOnly},
		{"flush copy-on-write", cow.Flush(), core.ErrReadOnly},
		{"truncate negative", rw.Truncate(bg, -1), core.ErrRange},
		{"truncate read-only", ro.Truncate(bg, 5), core.ErrReadOnly},
		{"copy past the end", rw.CopyTo(bg, rw.Core().Name()+"2", size, 10), core.ErrRange},
		{"lock in no mode", rw.Lock(bg, 0), fs.ErrInvalid},
		{"open what is absent", async.Open(bg, p, rw.Core().Name()+"3", core.Options{}), fs.ErrNotExist},
		{"open what is locked", async.Open(bg, p, rw.Core().Name(), core.Options{}), lock.ErrLocked},
	} {
		err := c.f.Wait()
		wantErr(t, c.name, err, c.want)
		var pe *fs.PathError
		if err != nil && !errors.As(err, &pe) {
			t.Errorf("%s: error %v does not name the file", c.name, err)
		}
	}
	if _, err := ro.StartBackground(flush.Policy{}); !errors.Is(err, core.ErrReadOnly) {
		t.Errorf("StartBackground of a read-only file: got %v, want %v", err, core.ErrReadOnly)
	}
	if n := async.Locks(rw); n != 0 {
		t.Errorf("%d locks are recorded and not held", n)
	}
}

func TestEmptyFile(t *testing.T) {
	forEach(t, 0, func(t *testing.T, f *async.File, only bool) {
		pin, err := f.Load(bg, 0, 0).Await(bg)
		check(t, err)
		pin.Release()
		want(t, f.PageIn(bg, 0, 0), struct{}{}, nil)
		want(t, f.ReadAt(bg, make([]byte, 1), 0), 0, io.EOF)
		want(t, f.ReadAt(bg, nil, 0), 0, nil)
		want(t, f.WriteAt(bg, nil, 0), 0, nil)
		want(t, f.Flush(), struct{}{}, nil)
		for range f.Stream(bg, 0, 0, 10, 1) {
			t.Error("the stream of nothing gave something")
		}
		check(t, f.Truncate(bg, 100).Wait())
		want(t, f.WriteAt(bg, pattern(100), 0), 100, nil)
		check(t, f.Truncate(bg, 0).Wait())
	})
}

// The default pool serves files that are opened without one.
func TestFileOfDefaultPool(t *testing.T) {
	f := opened(t, nil, diskFile(t, pattern(100)), core.Options{})
	want(t, f.ReadAt(bg, make([]byte, 10), 0), 10, nil)
	w := async.Wrap(nil, core.NewMemory("memory", pattern(100)))
	check(t, w.Close())
}

// The descriptor may be closed once the file is mapped.
func TestMap(t *testing.T) {
	needsFiles(t)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	opened, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := async.Map(bg, nil, opened, core.Options{}).Await(bg)
	opened.Close()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if _, err := f.ReadAt(bg, b, 0).Await(bg); err != nil || string(b) != "hello" {
		t.Errorf("got %q, %v", b, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := async.Map(bg, nil, opened, core.Options{}).Await(bg); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("a closed file: %v", err)
	}
}
