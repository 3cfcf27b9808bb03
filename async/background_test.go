package async_test

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
)

func TestBackgroundFlushes(t *testing.T) {
	// The pool is its own, as that of a bubble must be.
	synctest.Test(t, func(t *testing.T) {
		p, err := async.NewPool(async.PoolOptions{Executor: async.Goroutines()})
		check(t, err)
		c, err := core.OpenFile(diskFile(t, pattern(10_000)), core.Options{Access: core.ReadWrite})
		check(t, err)
		f := async.Wrap(p, c)
		b, err := f.StartBackground(flush.Policy{Interval: time.Minute, NoEarlyWriteback: true})
		check(t, err)
		_, err = f.StartBackground(flush.Policy{})
		if err == nil {
			t.Error("a second background: got no error")
		}
		flushes := func() int64 { synctest.Wait(); return f.Stats().Flush.Batches }
		if n := flushes(); n != 0 {
			t.Errorf("flushes of a clean file: got %d", n)
		}
		want(t, f.WriteAt(bg, []byte{1}, 0), 1, nil) // marks
		<-time.After(59 * time.Second)
		if n := flushes(); n != 0 {
			t.Errorf("flushes before the interval: got %d", n)
		}
		<-time.After(2 * time.Second)
		if n := flushes(); n != 1 {
			t.Errorf("flushes after the interval: got %d, want 1", n)
		}
		check(t, b.Barrier().Wait())
		b.Pause()
		b.MarkDirty(1)
		<-time.After(time.Hour)
		if n := flushes(); n != 2 {
			t.Errorf("flushes with a barrier and a pause: got %d, want 2", n)
		}
		b.Resume()
		check(t, b.Stop().Wait())
		if n := flushes(); n != 3 {
			t.Errorf("flushes after Stop: got %d, want 3", n)
		}
		wantErr(t, "Barrier after Stop", b.Barrier().Wait(), fs.ErrClosed)
		b, err = f.StartBackground(flush.Policy{Interval: time.Minute})
		check(t, err)
		b.MarkDirty(1)
		check(t, f.Close(bg).Wait()) // flushes once more
		if n := flushes(); n != 4 {
			t.Errorf("flushes after Close: got %d, want 4", n)
		}
		wantErr(t, "Barrier after Close", b.Barrier().Wait(), fs.ErrClosed)
		check(t, b.Stop().Wait())
		check(t, p.Close(bg))
	})
}

func TestBackgroundFailure(t *testing.T) {
	p := open(t, async.PoolOptions{})
	f := onDisk(t, p, 10_000)
	told := make(chan error, 1)
	b, err := f.StartBackground(flush.Policy{DirtyBytes: 10, NoEarlyWriteback: true, OnError: func(err error) { told <- err }})
	check(t, err)
	watchCalls(t).failing("msync", syscall.EIO)
	want(t, f.WriteAt(bg, pattern(20), 0), 20, nil)
	wantErr(t, "OnError", <-told, core.ErrFlushFailed)
	wantErr(t, "Barrier", b.Barrier().Wait(), core.ErrFlushFailed)
	wantErr(t, "Flush", f.Flush().Wait(), core.ErrFlushFailed)
	err = f.Close(bg).Wait()
	wantErr(t, "Close", err, core.ErrFlushFailed)
	var pe *fs.PathError
	if !errors.As(err, &pe) {
		t.Errorf("error %v does not name the file", err)
	}
	wantErr(t, "Close again", f.Close(bg).Wait(), fs.ErrClosed)
}

// A background begins to write early what is flushed later.
func TestBackgroundWritesEarly(t *testing.T) {
	p := open(t, async.PoolOptions{})
	f := onDisk(t, p, 10_000)
	c := watchCalls(t)
	_, err := f.StartBackground(flush.Policy{DirtyBytes: 100})
	check(t, err)
	want(t, f.WriteAt(bg, pattern(60), 0), 60, nil)
	settled(func() bool { return c.of("sync_file_range") > 0 })
	if n := c.of("msync"); n != 0 {
		t.Errorf("flushes with little dirty: got %d", n)
	}
	want(t, f.WriteAt(bg, pattern(60), 0), 60, nil)
	settled(func() bool { return c.of("msync") > 0 })
}
