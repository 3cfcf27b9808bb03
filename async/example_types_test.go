package async_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/lock"
)

// exampleFile opens a file of 64 KiB for an example, which calls the function at
// its end.
func exampleFile(ctx context.Context) (*async.File, func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	pool, err := async.NewPool(async.PoolOptions{})
	if err != nil {
		log.Fatal(err)
	}
	f, err := async.Open(ctx, pool, filepath.Join(dir, "file"), core.Options{Access: core.ReadWrite, Create: true, Size: 64 << 10}).Await(ctx)
	if err != nil {
		log.Fatal(err)
	}
	return f, func() {
		_ = f.Close()
		_ = pool.Close()
		os.RemoveAll(dir)
	}
}

// A server starts operations and replies when their futures have resolved. All
// requests that wait for their flush share one msync.
func ExampleFile() {
	ctx := context.Background()
	f, closeFile := exampleFile(ctx)
	defer closeFile()
	handle := func(ctx context.Context, event string) error { // ctx is the request's
		if _, err := f.WriteAt(ctx, []byte(event), 100).Await(ctx); err != nil {
			return err
		}
		_, err := f.FlushRange(100, int64(len(event))).Await(ctx)
		return err // nil: it is on the disk
	}
	fmt.Println(handle(ctx, "an event"))

	pin, err := f.Load(ctx, 100, 8).Await(ctx) // resident: touching it waits for no disk
	if err != nil {
		log.Fatal(err)
	}
	defer pin.Release()
	fmt.Printf("%s\n", pin.Bytes())
	// Output:
	// <nil>
	// an event
}

// Flushes of several ranges run while other work goes on, and are awaited
// together.
func ExampleFile_FlushRange() {
	ctx := context.Background()
	f, closeFile := exampleFile(ctx)
	defer closeFile()
	var g errgroup.Group
	for i := range int64(8) {
		_ = f.Core().Update(func(b []byte) error { b[i*4096] = 1; return nil })
		g.Go(f.FlushRange(i*4096, 1).Wait)
	}
	fmt.Println("durable:", g.Wait() == nil)
	// Output: durable: true
}

// Stream loads the next chunks while this one is worked on.
func ExampleFile_Stream() {
	ctx := context.Background()
	f, closeFile := exampleFile(ctx)
	defer closeFile()
	zeros := 0
	for pin, err := range f.Stream(ctx, 0, f.Core().Len(), 16<<10, 2) {
		if err != nil {
			log.Fatal(err)
		}
		_ = pin.Do(func(b []byte) error {
			for _, c := range b {
				if c == 0 {
					zeros++
				}
			}
			return nil
		})
	}
	fmt.Println(zeros)
	// Output: 65536
}

// Stores are flushed in the background; a barrier is awaited where it matters.
func ExampleBackground() {
	ctx := context.Background()
	f, closeFile := exampleFile(ctx)
	defer closeFile()
	b, err := f.StartBackground(flush.Policy{Interval: time.Second, DirtyBytes: 8 << 20})
	if err != nil {
		log.Fatal(err)
	}
	for i := range int64(100) {
		_ = f.Core().Update(func(v []byte) error { v[i]++; return nil })
		b.MarkDirty(1)
	}
	_, err = b.Barrier().Await(ctx)
	fmt.Println("all of it durable:", err == nil)
	fmt.Println("stopped:", b.Close() == nil)
	// Output:
	// all of it durable: true
	// stopped: true
}

// The last flush may take only so long; it goes on when the wait ends.
func ExampleBackground_CloseContext() {
	ctx := context.Background()
	f, closeFile := exampleFile(ctx)
	defer closeFile()
	b, err := f.StartBackground(flush.Policy{Interval: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	b.MarkDirty(1)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	fmt.Println("stopped:", b.CloseContext(ctx) == nil)
	// Output: stopped: true
}

func ExampleFileLock() {
	ctx := context.Background()
	f, closeFile := exampleFile(ctx)
	defer closeFile()
	held, err := f.Lock(ctx, lock.Exclusive).Await(ctx)
	if err != nil {
		log.Fatal(err)
	}
	next := f.Lock(ctx, lock.Exclusive) // queues, and holds no goroutine
	fmt.Println(held.Mode(), next.Err())
	_ = held.Release()
	second, err := next.Await(ctx)
	fmt.Println(second.Mode(), err)
	_ = second.Release()
	// Output:
	// exclusive <nil>
	// exclusive <nil>
}

func ExampleFileStats() {
	ctx := context.Background()
	f, closeFile := exampleFile(ctx)
	defer closeFile()
	for range 3 {
		if _, err := f.Flush().Await(ctx); err != nil {
			log.Fatal(err)
		}
	}
	s := f.Stats()
	fmt.Println(s.Flush.Requests, "requests in", s.Flush.Batches, "batches")
	// Output: 3 requests in 3 batches
}

func ExamplePanicError() {
	ctx := context.Background()
	pool, _ := async.NewPool(async.PoolOptions{})
	defer pool.Close()
	_, err := async.Go(ctx, pool, func(context.Context) (int, error) { panic("boom") }).Await(ctx)
	var p *async.PanicError
	if errors.As(err, &p) {
		fmt.Println(p.Value, len(p.Stack) > 0)
	}
	// Output: boom true
}

// Any runtime that can run a function is an executor: here one that starts a
// goroutine for each loop.
func ExampleExecutor() {
	var e async.Executor = async.ExecutorFunc(func(f func()) error { go f(); return nil })
	ctx := context.Background()
	pool, _ := async.NewPool(async.PoolOptions{Executor: e})
	defer pool.Close()
	v, err := async.Go(ctx, pool, func(context.Context) (int, error) { return 6 * 7, nil }).Await(ctx)
	fmt.Println(v, err)
	// Output: 42 <nil>
}

func ExamplePoolOptions() {
	pool, err := async.NewPool(async.PoolOptions{
		Flush: async.LaneOptions{Width: 4},  // several files on several disks
		Short: async.LaneOptions{Queue: 64}, // refuse early
	})
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	s := pool.Stats()
	fmt.Println(s.Flush.Width, s.Short.Queue)
	// Output: 4 64
}

func ExampleLaneOptions() {
	pool, _ := async.NewPool(async.PoolOptions{Page: async.LaneOptions{Width: 1, Queue: 10_000}})
	defer pool.Close()
	fmt.Println(pool.Stats().Page.Queue)
	// Output: 10000
}

func ExampleStats() {
	ctx := context.Background()
	pool, _ := async.NewPool(async.PoolOptions{})
	defer pool.Close()
	_ = async.Go(ctx, pool, func(context.Context) (int, error) { return 1, nil }).Wait()
	var s async.Stats = pool.Stats()
	fmt.Println(s.Short.Done, s.Flush.Done)
	// Output: 1 0
}

func ExampleLaneStats() {
	ctx := context.Background()
	pool, _ := async.NewPool(async.PoolOptions{})
	defer pool.Close()
	_ = async.Go(ctx, pool, func(context.Context) (int, error) { return 0, errors.New("no") }).Wait()
	var s async.LaneStats = pool.Stats().Short
	fmt.Println(s.Done, s.Panicked, s.Overloaded)
	// Output: 1 0 0
}
