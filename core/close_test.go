package core_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/fmmap-go/fmmap/core"
)

func TestCloseWaitsForPins(t *testing.T) {
	for _, b := range resizable {
		t.Run(b.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				want := pattern(64*KiB, 7)
				f := b.open(t, want, 1)
				p := pinned(t, f, 0, 64*KiB)
				if f.Fd() != ^uintptr(0) {
					check(t, f.Truncate(sizeOf(t, f, 4*MiB))) // p stays in a region of its own
				}
				done := make(chan error, 1)
				go func() { done <- f.Close() }()
				synctest.Wait()
				select {
				case err := <-done:
					t.Fatalf("closed under a pin: %v", err)
				default:
				}
				if !bytes.Equal(p.Bytes(), want) {
					t.Error("the pinned bytes changed")
				}
				for name, err := range map[string]error{
					"Pin":      second(f.Pin(0, 1)),
					"View":     f.View(func([]byte) error { return nil }),
					"Truncate": f.Truncate(1),
					"Flush":    f.Flush(),
					"Close":    f.Close(),
				} {
					if !errors.Is(err, fs.ErrClosed) {
						t.Errorf("%s while closing: %v", name, err)
					}
				}
				p.Release()
				check(t, <-done)
				p.Release()
				if p.Bytes() != nil {
					t.Error("a released pin gives bytes")
				}
			})
		})
	}
}

func second[T any](_ T, err error) error { return err }

func TestCloseContextLetsTheLastReleaseFinish(t *testing.T) {
	f := opened(t, tempFile(t, pattern(KiB, 8)), core.Options{Access: core.ReadWrite})
	p := pinned(t, f, 0, 10)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.CloseContext(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if f.Fd() == ^uintptr(0) || !bytes.Equal(p.Bytes(), pattern(KiB, 8)[:10]) {
		t.Fatal("closed under a pin")
	}
	p.Release()
	if f.Fd() != ^uintptr(0) {
		t.Fatal("the last release did not close the file")
	}
}

// Everything may be asked while the file is being closed, also what needs the descriptor.
func TestEverythingBesideAClose(t *testing.T) {
	onEach(t, func(t *testing.T, b backend) {
		for _, op := range operations {
			f := b.open(t, pattern(10_000, 1))
			var wg sync.WaitGroup
			for i := range int64(2) { // each stores to bytes of its own
				wg.Go(func() {
					err := op.do(t, f, i*64)
					if refused := op.refusal(b); err != nil && !errors.Is(err, fs.ErrClosed) && !errors.Is(err, errors.ErrUnsupported) &&
						(refused == nil || !errors.Is(err, refused)) {
						t.Errorf("%s beside a Close: %v", op.name, err)
					}
					f.Fd()
					f.Len()
				})
			}
			if err := f.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
				t.Errorf("Close beside %s: %v", op.name, err)
			}
			wg.Wait()
		}
	})
}

func TestPinsOfABlockedShrinkAndCloseTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := tempFile(t, pattern(64*KiB, 9))
		f := opened(t, name, core.Options{Access: core.ReadWrite})
		p := pinned(t, f, 63*KiB, KiB)
		shrunk, closed := make(chan error, 1), make(chan error, 1)
		go func() { shrunk <- f.Truncate(KiB) }()
		synctest.Wait()
		go func() { closed <- f.Close() }()
		synctest.Wait()
		if _, err := f.Pin(0, 1); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("a pin while the closing queues: %v", err)
		}
		p.Release()
		check(t, <-shrunk)
		check(t, <-closed)
		if fi, err := os.Stat(name); err != nil || fi.Size() != KiB {
			t.Errorf("the file has %v bytes, %v", fi.Size(), err)
		}
	})
}
