package flush_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fmmap-go/fmmap/flush"
)

// device stands for a mapped file.
type device struct{ broken bool }

func (d *device) FlushRange(off, n int64) error {
	if d.broken {
		return errors.New("input/output error")
	}
	fmt.Printf("msync of [%d, %d)\n", off, off+n)
	return nil
}

// byHand is an executor whose tasks wait until the example runs them, so that its
// output is always the same.
type byHand []func(dropped error)

func (h *byHand) execute(task func(dropped error)) error {
	*h = append(*h, task)
	return nil
}

func (h *byHand) run() {
	for _, task := range *h {
		task(nil)
	}
	*h = nil
}

func Example() {
	ctx := context.Background()
	c := flush.NewCommitter(&device{}, flush.Options{})

	// Store something to [4096, 4196), and then:
	if err := c.Flush(ctx, 4096, 100); err != nil {
		fmt.Println("perhaps lost:", err)
	}

	if err := c.CloseContext(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: msync of [4096, 4196)
}

func ExampleTarget() {
	var t flush.Target = &device{}
	fmt.Println(t.FlushRange(0, 10))
	// Output:
	// msync of [0, 10)
	// <nil>
}

func ExampleCommitter() {
	var pool byHand
	c := flush.NewCommitter(&device{}, flush.Options{Execute: pool.execute})

	// Three requests gather until the pool runs them; one call serves them.
	a := c.Commit(0, 10)
	b := c.Commit(5000, 10)
	same := c.Commit(100, 10)
	pool.run()

	fmt.Println(a == b, b == same, a.Err())
	// Output:
	// msync of [0, 5010)
	// true true <nil>
}

func ExampleCommitter_Flush() {
	c := flush.NewCommitter(&device{broken: true}, flush.Options{})

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fmt.Println(c.Flush(ctx, 0, 10))
	fmt.Println(errors.Is(c.Flush(ctx, 0, -10), flush.ErrRange))
	// Output:
	// input/output error
	// true
}

func ExampleOptions() {
	// Batches of all files run on two workers, in the order in which they are
	// due.
	tasks := make(chan func(dropped error), 100)
	for range 2 {
		go func() {
			for task := range tasks {
				task(nil)
			}
		}()
	}
	defer close(tasks)

	o := flush.Options{Execute: func(task func(dropped error)) error {
		select {
		case tasks <- task:
			return nil
		default:
			return errors.New("too many files have something to flush")
		}
	}}
	c := flush.NewCommitter(&device{}, o)
	fmt.Println(c.Flush(context.Background(), 0, 10))
	// Output:
	// msync of [0, 10)
	// <nil>
}

func ExampleBatch() {
	var pool byHand
	c := flush.NewCommitter(&device{}, flush.Options{Execute: pool.execute})

	b := c.Commit(0, 10)
	b.OnDone(func(err error) { fmt.Println("called back with", err) })
	pool.run()

	select {
	case <-b.Done():
		fmt.Println("done, with", b.Err())
	default:
		fmt.Println("still waiting")
	}
	// Output:
	// msync of [0, 10)
	// called back with <nil>
	// done, with <nil>
}

func ExampleStats() {
	c := flush.NewCommitter(&device{}, flush.Options{})
	for i := range int64(3) {
		if err := c.Flush(context.Background(), 100*i, 100); err != nil {
			fmt.Println(err)
		}
	}

	// expvar.Publish("flush", expvar.Func(func() any { return c.Stats() }))
	s := c.Stats()
	fmt.Println(s.Requests, "requests,", s.Batches, "batches,", s.Failed, "failed,", s.Bytes, "bytes")
	fmt.Println(s.Wait.Count(), "waits, median up to a bound:", s.Wait.Quantile(0.5) > 0, "longest", s.LongestWait > 0)
	// Output:
	// msync of [0, 100)
	// msync of [100, 200)
	// msync of [200, 300)
	// 3 requests, 3 batches, 0 failed, 300 bytes
	// 3 waits, median up to a bound: true longest true
}

func ExamplePanicError() {
	c := flush.NewCommitter(faulty{}, flush.Options{})
	err := c.Flush(context.Background(), 0, 10)

	var p *flush.PanicError
	if errors.As(err, &p) {
		fmt.Println("the target panicked:", p.Value)
	}
	// Output: the target panicked: no device
}

type faulty struct{}

func (faulty) FlushRange(off, n int64) error { panic("no device") }

func ExampleBackground() {
	ctx := context.Background()
	c := flush.NewCommitter(&device{}, flush.Options{})
	bg := flush.NewBackground(c, flush.Policy{Interval: time.Minute})

	// Writers store and go on; what they stored is durable within a minute.
	bg.MarkDirty(100)
	bg.MarkDirty(28)

	// A caller wants to be sure of everything stored up to now.
	fmt.Println("barrier:", bg.Barrier().Wait(ctx))

	fmt.Println("stop:", bg.CloseContext(ctx))
	fmt.Println("close:", c.CloseContext(ctx))
	// Output:
	// msync of [0, 9223372036854775807)
	// barrier: <nil>
	// msync of [0, 9223372036854775807)
	// stop: <nil>
	// close: <nil>
}

func ExamplePolicy() {
	c := flush.NewCommitter(&device{broken: true}, flush.Options{})
	failed := make(chan error, 1)
	bg := flush.NewBackground(c, flush.Policy{
		Interval:   time.Minute, // lose no more than a minute,
		DirtyBytes: 64 << 20,    // and no more than 64 MiB
		OnError:    func(err error) { failed <- err },
	})

	bg.MarkDirty(100 << 20)
	fmt.Println(<-failed)
	fmt.Println(bg.Close())
	// Output:
	// input/output error
	// input/output error
}
