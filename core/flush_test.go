package core_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// failing makes the nth call of op fail with err, counting from 1; 0 fails all.
func failing(t testing.TB, op sys.Op, nth int, err error) (calls func() int) {
	t.Helper()
	var mu sync.Mutex
	n := 0
	restore := sys.Inject(func(o sys.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if o != op {
			return nil
		}
		if n++; n == nth || nth == 0 {
			return err
		}
		return nil
	})
	t.Cleanup(restore)
	return func() int { mu.Lock(); defer mu.Unlock(); return n }
}

func TestAFailedFlushIsFinal(t *testing.T) {
	name := tempFile(t, pattern(64*KiB, 1))
	f := opened(t, name, core.Options{Access: core.ReadWrite})
	check(t, f.Flush())
	failing(t, sys.OpMsync, 1, syscall.EIO)
	first := f.FlushRange(0, 10)
	for what, err := range map[string]error{
		"the one that failed": first,
		"the same range":      f.FlushRange(0, 10),
		"another range":       f.FlushRange(32*KiB, 10),
		"the whole":           f.Flush(),
	} {
		var e *core.FlushError
		if !errors.Is(err, core.ErrFlushFailed) || !errors.Is(err, syscall.EIO) || !errors.As(err, &e) || !e.Final() {
			t.Errorf("%s: %v", what, err)
		}
	}
	got := make([]byte, 10)
	if _, err := f.ReadAt(got, 0); err != nil {
		t.Errorf("reading after a failed flush: %v", err)
	}
	check(t, f.Close())
	g := opened(t, name, core.Options{Access: core.ReadWrite})
	check(t, g.Flush()) // opening again is the way out
}

// The kernel tells only one of several overlapping flushes that write-back
// failed. The others must not report success before that one has spoken.
func TestOverlappingFlushesShareAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := opened(t, tempFile(t, pattern(64*KiB, 1)), core.Options{Access: core.ReadWrite})
		leave := make(chan bool)
		var calls atomic.Int32
		defer sys.Inject(func(op sys.Op) error {
			if op == sys.OpMsync && calls.Add(1) == 1 {
				<-leave
				return syscall.EIO
			}
			return nil
		})()
		first, beside := make(chan error, 1), make(chan error, 1)
		go func() { first <- f.FlushRange(0, 1) }()
		synctest.Wait()
		go func() { beside <- f.FlushRange(8*KiB, 1) }()
		synctest.Wait()
		if calls.Load() != 2 || len(beside) != 0 {
			t.Errorf("after %d calls the flush beside the failing one has returned", calls.Load())
		}
		close(leave)
		if err := <-first; !errors.Is(err, syscall.EIO) {
			t.Errorf("the flush that failed: %v", err)
		}
		if err := <-beside; !errors.Is(err, core.ErrFlushFailed) {
			t.Errorf("the flush beside it: %v", err)
		}
	})
}

// It does not matter which of two overlapping flushes ends first.
func TestOverlappingFlushesWaitForEachOther(t *testing.T) {
	for _, failing := range []int32{1, 2} { // the flush that fails, by its beginning
		for _, firstToEnd := range []int32{1, 2} {
			synctest.Test(t, func(t *testing.T) {
				f := opened(t, tempFile(t, pattern(64*KiB, 1)), core.Options{Access: core.ReadWrite})
				var leave [3]chan bool
				var outcomes [3]chan error
				var calls atomic.Int32
				defer sys.Inject(func(op sys.Op) error {
					if op != sys.OpMsync {
						return nil
					}
					n := calls.Add(1)
					<-leave[n]
					if n == failing {
						return syscall.EIO
					}
					return nil
				})()
				for n := 1; n <= 2; n++ {
					leave[n], outcomes[n] = make(chan bool), make(chan error, 1)
				}
				for n := 1; n <= 2; n++ {
					go func() { outcomes[n] <- f.FlushRange(int64(n)*8*KiB, 1) }()
					synctest.Wait()
				}
				close(leave[firstToEnd])
				synctest.Wait()
				if n := len(outcomes[1]) + len(outcomes[2]); n != 0 {
					t.Errorf("%d flushes have returned before both have ended", n)
				}
				close(leave[3-firstToEnd])
				for n := 1; n <= 2; n++ {
					if err := <-outcomes[n]; !errors.Is(err, core.ErrFlushFailed) {
						t.Errorf("flush %d of two, of which %d fails and %d ends first: %v", n, failing, firstToEnd, err)
					}
				}
			})
		}
	}
}

// What is flushed are the pages of the bytes asked for, also where the window
// does not begin with a page.
func TestFlushRangeOfAnUnalignedWindow(t *testing.T) {
	name := tempFile(t, nil)
	check(t, os.Truncate(name, 64*KiB))
	f := opened(t, name, core.Options{Access: core.ReadWrite, Offset: 4*KiB - 1, Sparse: true})
	_ = vmas(t, name) // skips the test where the system does not show them
	// So that the page cache keeps single pages, which are flushed one by one.
	if err := f.Advise(core.AdviceRandom, 0, f.Len()); missingHere(err) {
		t.Skip(err)
	} else {
		check(t, err)
	}
	dirty := func() (n int64) {
		for _, v := range vmas(t, name) {
			n += v.dirty
		}
		return n
	}
	_, err := f.WriteAt([]byte("x"), 0)
	check(t, err)
	if check(t, f.Flush()); dirty() != 0 {
		t.Skip("this file system keeps flushed pages dirty")
	}
	for _, off := range []int64{0, 1, 4 * KiB, 4*KiB + 1, 10_000} {
		_, err := f.WriteAt([]byte("x"), off)
		check(t, err)
		check(t, f.FlushRange(off, 1))
		if n := dirty(); n != 0 {
			t.Errorf("after a flush of the byte at %d, %d bytes are dirty", off, n)
		}
	}
}

// A write-back that was only begun can fail too, and may be the only one to be
// told of it.
func TestAFailedWritebackIsFinal(t *testing.T) {
	f := opened(t, tempFile(t, pattern(64*KiB, 1)), core.Options{Access: core.ReadWrite})
	if err := f.StartWriteback(0, 1); missingHere(err) {
		t.Skip(err)
	}
	for _, refusal := range []error{errors.ErrUnsupported, nil} { // which says nothing of the bytes
		failing(t, sys.OpSyncFileRange, 0, refusal)
		if err := f.StartWriteback(0, KiB); !errors.Is(err, refusal) {
			t.Errorf("got %v, want %v", err, refusal)
		}
		check(t, f.Flush())
	}
	failing(t, sys.OpSyncFileRange, 1, sys.ErrNoSpace)
	for _, call := range []func() error{
		func() error { return f.StartWriteback(0, KiB) }, // the one that fails
		func() error { return f.StartWriteback(8*KiB, KiB) },
		func() error { return f.FlushRange(8*KiB, KiB) },
		f.Flush,
	} {
		if err := call(); !errors.Is(err, core.ErrFlushFailed) || !errors.Is(err, sys.ErrNoSpace) {
			t.Errorf("got %v", err)
		}
	}
}

// A flush beside a write-back that fails must not report success, and the
// write-back waits for nothing.
func TestAFlushHearsOfAFailedWritebackBesideIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := opened(t, tempFile(t, pattern(64*KiB, 1)), core.Options{Access: core.ReadWrite})
		leave := make(chan error)
		defer sys.Inject(func(op sys.Op) error {
			if op == sys.OpSyncFileRange || op == sys.OpMsync {
				return <-leave
			}
			return nil
		})()
		begun, flushed := make(chan error, 1), make(chan error, 1)
		go func() { begun <- f.StartWriteback(0, 1) }()
		synctest.Wait()
		go func() { flushed <- f.FlushRange(8*KiB, 1) }()
		synctest.Wait()
		leave <- syscall.EIO // the first to call is the first to return
		synctest.Wait()
		if err := <-begun; !errors.Is(err, core.ErrFlushFailed) {
			t.Errorf("the write-back: %v", err)
		}
		leave <- nil
		if err := <-flushed; !errors.Is(err, core.ErrFlushFailed) {
			t.Errorf("the flush: %v", err)
		}
	})
}

// After a failed flush the blocks of the file may be older than its pages: a
// copy that shared them, as the kernel would make it, would not be one of the
// window.
func TestACopyAfterAFailedFlushIsOfTheMemory(t *testing.T) {
	want := pattern(64*KiB, 1)
	f := opened(t, tempFile(t, want), core.Options{Access: core.ReadWrite})
	failing(t, sys.OpMsync, 1, syscall.EIO)
	if err := f.Flush(); !errors.Is(err, core.ErrFlushFailed) {
		t.Fatalf("got %v", err)
	}
	calls := failing(t, sys.OpCopyFileRange, 0, nil)
	to := filepath.Join(t.TempDir(), "rescued")
	check(t, f.CopyTo(to, 0, f.Len()))
	if got, err := os.ReadFile(to); err != nil || string(got) != string(want) {
		t.Errorf("the copy differs, %v", err)
	}
	if n := calls(); n != 0 {
		t.Errorf("the kernel was asked %d times to copy the file", n)
	}
}

func TestFlushOfACreatedFileSyncsItsDirectoryOnce(t *testing.T) {
	needsFiles(t)
	f, err := core.Create(filepath.Join(t.TempDir(), "new"), 10)
	check(t, err)
	defer f.Close()
	calls := failing(t, sys.OpFsyncDir, -1, nil)
	for range 3 {
		check(t, f.FlushRange(0, 1))
	}
	if n := calls(); n != 1 {
		t.Errorf("%d syncs of the directory", n)
	}
	g := opened(t, tempFile(t, []byte("old")), core.Options{Access: core.ReadWrite})
	check(t, g.Flush())
	if n := calls(); n != 1 {
		t.Error("the directory of a file that was there was synced")
	}
}

func TestAFailedSyncOfTheDirectoryIsFinalToo(t *testing.T) {
	needsFiles(t)
	f, err := core.Create(filepath.Join(t.TempDir(), "new"), 10)
	check(t, err)
	defer f.Close()
	failing(t, sys.OpFsyncDir, 1, syscall.EIO)
	for range 2 {
		if err := f.Flush(); !errors.Is(err, core.ErrFlushFailed) {
			t.Errorf("got %v", err)
		}
	}
}

func TestFlushOfWhatNeverReachesTheFile(t *testing.T) {
	name := tempFile(t, pattern(64*KiB, 1))
	for _, a := range []core.Access{core.ReadOnly, core.CopyOnWrite, core.ReadExec} {
		f := opened(t, name, core.Options{Access: a})
		if err := f.Flush(); !errors.Is(err, core.ErrReadOnly) {
			t.Errorf("%v: %v", a, err)
		}
	}
	check(t, core.NewMemory("m", make([]byte, 10)).Flush())
}

func TestFlushRangeOutsideTheWindow(t *testing.T) {
	f := opened(t, tempFile(t, pattern(64*KiB, 1)), core.Options{Access: core.ReadWrite, Offset: 100, Length: 1000})
	check(t, f.FlushRange(0, 1000))
	check(t, f.FlushRange(1000, 0))
	if err := f.StartWriteback(0, 1000); !missingHere(err) {
		check(t, err)
	}
	for _, r := range [][2]int64{{-1, 1}, {0, -1}, {0, 1001}, {1000, 1}, {1, 1 << 62}, {1 << 62, 1 << 62}} {
		if err := f.FlushRange(r[0], r[1]); !errors.Is(err, core.ErrRange) {
			t.Errorf("FlushRange%v: %v", r, err)
		}
		if err := f.StartWriteback(r[0], r[1]); !errors.Is(err, core.ErrRange) {
			t.Errorf("StartWriteback%v: %v", r, err)
		}
	}
}
