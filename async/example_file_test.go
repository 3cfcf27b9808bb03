package async_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

func handle(ctx context.Context, f *async.File, event []byte, off int64) error {
	if _, err := f.WriteAt(ctx, event, off).Await(ctx); err != nil {
		return err
	}
	// Requests that wait at the same time share one flush of the device.
	_, err := f.FlushRange(off, int64(len(event))).Await(ctx)
	return err // nil: the event survives a power cut
}

func serve(ctx context.Context, name string, events [][]byte) error {
	o := core.Options{Access: core.ReadWrite, Create: true, Size: 1 << 20}
	f, err := async.Open(ctx, nil, name, o).Await(ctx)
	if err != nil {
		return err
	}
	defer f.Close()

	g, gctx := errgroup.WithContext(ctx)
	for i, event := range events {
		g.Go(func() error { return handle(gctx, f, event, int64(i)*100) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	pin, err := f.Load(ctx, 0, int64(len(events[0]))).Await(ctx)
	if err != nil {
		return err
	}
	defer pin.Release()
	return pin.Do(func(b []byte) error { // in memory, and mapped until Release
		_, err := os.Stdout.Write(b)
		return err
	})
}

// A server writes events that arrive together, makes them durable together, and
// reads.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	first := []byte("the first event")
	if err := serve(context.Background(), filepath.Join(dir, "events"), [][]byte{first, []byte("another")}); err != nil {
		log.Fatal(err)
	}
	// Output: the first event
}

// The reads of four places are under way together. What arrives is pinned and in
// memory: touching it waits for no disk.
func ExampleFile_Load() {
	ctx := context.Background()
	f, closeFile := exampleFile(ctx)
	defer closeFile()

	var loading []*async.Future[*core.Pin]
	for i := range int64(4) {
		loading = append(loading, f.Load(ctx, i*16<<10, 4096))
	}
	pins, err := async.All(loading...).Await(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range pins {
		err := p.Do(func(b []byte) error { // a fault would be an error here
			fmt.Println(p.Offset(), bytes.Count(b, []byte{0}))
			return nil
		})
		p.Release()
		if err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// 0 4096
	// 16384 4096
	// 32768 4096
	// 49152 4096
}

// A file is closed through what Open or Wrap returned, and its operations fail from
// then on.
func ExampleFile_Close() {
	ctx := context.Background()
	f := async.Wrap(async.Default(), core.NewMemory("m", make([]byte, 100)))
	fmt.Println(f.Close())
	_, err := f.Load(ctx, 0, 10).Await(ctx)
	fmt.Println(errors.Is(err, fs.ErrClosed))
	// Output:
	// <nil>
	// true
}

// Open waits for the disk in a lane of the pool, not in the caller.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	o := core.Options{Access: core.ReadWrite, Create: true, Size: 4096}

	f, err := async.Open(ctx, nil, filepath.Join(dir, "table"), o).Await(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	fmt.Println(f.Core().Len())
	// Output: 4096
}

// A file that is open already is mapped. The caller still closes its own.
func ExampleMap() {
	opened, err := os.CreateTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(opened.Name())
	defer opened.Close()
	if _, err := opened.WriteString("hello"); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()

	f, err := async.Map(ctx, nil, opened, core.Options{}).Await(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 5)
	if _, err := f.ReadAt(ctx, b, 0).Await(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", b)
	// Output: hello
}

// A file that is open already is wrapped. From then on it is closed through what
// Wrap returned.
func ExampleWrap() {
	ctx := context.Background()
	m := core.NewMemory("m", []byte("already open"))
	f := async.Wrap(nil, m) // served by the default pool
	buf := make([]byte, 7)
	n, err := f.ReadAt(ctx, buf, 0).Await(ctx)
	fmt.Println(string(buf[:n]), err)
	fmt.Println(f.Core() == m, f.Close())
	// Output:
	// already <nil>
	// true <nil>
}

// TryLoad costs no future where the bytes are in memory. Where they are not, Load
// brings them in.
func ExampleFile_TryLoad() {
	ctx := context.Background()
	f, closeFile := exampleFile(ctx)
	defer closeFile()
	pin, ok := f.TryLoad(0, 4096)
	if !ok {
		var err error
		if pin, err = f.Load(ctx, 0, 4096).Await(ctx); err != nil {
			log.Fatal(err)
		}
	}
	defer pin.Release()
	fmt.Println(pin.Len())
	// Output: 4096
}
