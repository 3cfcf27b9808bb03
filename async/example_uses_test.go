package async_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"log"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
)

// sums writes the checksum of each chunk of in to out, and returns when they are
// durable.
func sums(ctx context.Context, in, out *async.File, chunk int64) error {
	size := in.Core().Len() // once: a Close would make it 0 and end the loop without an error
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8) // chunks pinned at a time
	for off := int64(0); off < size; off += chunk {
		n := min(chunk, size-off)
		g.Go(func() error {
			pin, err := in.Load(gctx, off, n).Await(gctx) // in memory: touching it waits for no disk
			if err != nil {
				return err
			}
			defer pin.Release()
			return pin.Do(func(b []byte) error {
				return core.Put(out.Core(), off/chunk*4, binary.LittleEndian, crc32.ChecksumIEEE(b))
			})
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	_, err := out.Flush().Await(ctx)
	return err
}

// Futures fit into an errgroup pipeline: its context ends their waits, and its
// limit bounds how much is pinned.
func Example_errgroup() {
	ctx := context.Background()
	in, closeIn := exampleFile(ctx)
	defer closeIn()
	out, closeOut := exampleFile(ctx)
	defer closeOut()

	if err := sums(ctx, in, out, 10_000); err != nil {
		log.Fatal(err)
	}
	first, err := core.Get[uint32](out.Core(), 0, binary.LittleEndian)
	fmt.Println(first == crc32.ChecksumIEEE(make([]byte, 10_000)), err)
	// Output: true <nil>
}

// count adds to counters that are flushed in the background, and returns when
// all it added is durable.
func count(ctx context.Context, f *async.File, hits []int64) error {
	b, err := f.StartBackground(flush.Policy{Interval: time.Second, DirtyBytes: 1 << 20})
	if err != nil {
		return err
	}
	err = f.Core().Update(func(table []byte) error {
		for _, i := range hits {
			table[i]++
			b.MarkDirty(1) // flushed within a second; nothing waits for it
		}
		return nil
	})
	if err == nil {
		_, err = b.Barrier().Await(ctx) // this waits
	}
	if stopped := b.Close(); err == nil {
		err = stopped
	}
	return err
}

// Writers that need not wait leave their stores to a background flusher; a
// barrier is awaited where it matters.
func Example_background() {
	ctx := context.Background()
	f, closeFile := exampleFile(ctx)
	defer closeFile()

	if err := count(ctx, f, []int64{7, 3, 7}); err != nil {
		log.Fatal(err)
	}
	n, err := core.Get[byte](f.Core(), 7, binary.LittleEndian)
	fmt.Println(n, err)
	// Output: 2 <nil>
}
