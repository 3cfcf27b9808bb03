package lock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fmmap-go/fmmap/lock"
)

// newFile makes a file for an example.
func newFile() (f *os.File, remove func()) {
	dir, err := os.MkdirTemp("", "lock")
	if err != nil {
		panic(err)
	}
	f, err = os.Create(filepath.Join(dir, "data"))
	if err != nil {
		panic(err)
	}
	return f, func() { f.Close(); os.RemoveAll(dir) }
}

func ExampleLock() {
	f, remove := newFile()
	defer remove()

	writer, reader := lock.New(f), lock.New(f)
	if err := writer.Acquire(context.Background(), lock.Exclusive); err != nil {
		fmt.Println(err)
		return
	}
	err := reader.Try(lock.Shared)
	fmt.Println("reader kept out:", errors.Is(err, lock.ErrLocked))

	if err := writer.Try(lock.Shared); err != nil { // only reading from now on
		fmt.Println(err)
	}
	fmt.Println("reader:", reader.Try(lock.Shared))
	fmt.Println("released:", writer.Release(), reader.Release())
	// Output:
	// reader kept out: true
	// reader: <nil>
	// released: <nil> <nil>
}

func ExampleLock_Acquire() {
	f, remove := newFile()
	defer remove()

	holder := lock.New(f)
	if err := holder.Try(lock.Exclusive); err != nil {
		fmt.Println(err)
		return
	}
	defer holder.Release()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	err := lock.New(f).Acquire(ctx, lock.Exclusive)
	fmt.Println("gave up:", errors.Is(err, context.DeadlineExceeded))
	// Output: gave up: true
}

func ExampleLock_AcquireFunc() {
	f, remove := newFile()
	defer remove()

	first, second := lock.New(f), lock.New(f)
	if err := first.Try(lock.Exclusive); err != nil {
		fmt.Println(err)
		return
	}
	second.AcquireFunc(context.Background(), lock.Exclusive, func(err error) {
		fmt.Println("second:", err)
	})
	fmt.Println("no request waits for it")
	first.Release()
	second.Release()
	// Output:
	// no request waits for it
	// second: <nil>
}

func ExampleLock_Range() {
	f, remove := newFile()
	defer remove()

	header, records := lock.New(f).Range(0, 64), lock.New(f).Range(64, 0) // to the end, wherever that will be
	if err := records.Try(lock.Exclusive); errors.Is(err, errors.ErrUnsupported) {
		fmt.Println("no ranges here: lock the whole file instead")
		return
	}
	fmt.Println("header:", header.Try(lock.Shared))
	err := lock.New(f).Range(60, 8).Try(lock.Shared)
	fmt.Println("across the two:", errors.Is(err, lock.ErrLocked))
	header.Release()
	records.Release()
}

func ExampleLock_Nested() {
	f, remove := newFile()
	defer remove()

	// The process keeps others from writing for as long as it runs, and its
	// goroutines take turns.
	process := lock.New(f)
	if err := process.Try(lock.Shared); err != nil {
		fmt.Println(err)
		return
	}
	one, two := process.Nested(), process.Nested()
	fmt.Println("one:", one.Try(lock.Exclusive))
	fmt.Println("two is kept out:", errors.Is(two.Try(lock.Exclusive), lock.ErrLocked))
	one.Release()
	fmt.Println("two:", two.Try(lock.Exclusive))
	two.Release()
	process.Release()
	// Output:
	// one: <nil>
	// two is kept out: true
	// two: <nil>
}

func ExampleMode() {
	f, remove := newFile()
	defer remove()

	l := lock.New(f)
	for _, m := range []lock.Mode{lock.Shared, lock.Exclusive} {
		if err := l.Try(m); err != nil {
			fmt.Println(err)
			return
		}
		held, ok := l.Held()
		fmt.Println(held, ok)
	}
	fmt.Println(l.Release())
	// Output:
	// shared true
	// exclusive true
	// <nil>
}
