package wal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/wal"
)

// scratch makes a directory for an example.
func scratch() (dir string, remove func()) {
	parent, err := os.MkdirTemp("", "wal-example-")
	if err != nil {
		log.Fatal(err)
	}
	return filepath.Join(parent, "log"), func() { _ = os.RemoveAll(parent) }
}

func Example() {
	dir, remove := scratch()
	defer remove()
	ctx := context.Background()

	l, err := wal.Open(ctx, dir, wal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	last, err := l.Append([]byte("first"), []byte("second")).Await(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("durable up to", last)
	for r, err := range l.Range(ctx, l.First()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d %s\n", r.Index, r.Data)
	}
	// Output:
	// durable up to 2
	// 1 first
	// 2 second
}

// pay notes a payment in the log in dir, which is created when absent.
func pay(ctx context.Context, dir, payment string) (index uint64, err error) {
	payments, err := wal.Open(ctx, dir, wal.Options{}) // locked; what a crash has left is sorted out
	if err != nil {
		return 0, err
	}
	defer payments.Close()
	return payments.Write(ctx, []byte(payment)) // returns once the record survives a power cut
}

// A program that needs a durable log takes five lines for it.
func ExampleLog_Write() {
	dir, remove := scratch()
	defer remove()
	ctx := context.Background()
	for _, payment := range []string{"42 to Ada", "7 to Bob"} {
		index, err := pay(ctx, dir, payment)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(index)
	}
	// Output:
	// 1
	// 2
}

// Tickets let an appender go on, and wait for several records at once.
func ExampleTicket() {
	dir, remove := scratch()
	defer remove()
	ctx := context.Background()
	l, err := wal.Open(ctx, dir, wal.Options{SegmentSize: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	var last *wal.Ticket
	for _, word := range []string{"one", "two", "three"} {
		last = l.Append([]byte(word))
	}
	select {
	case <-last.Done(): // a ticket's records come after all before them
	case <-ctx.Done():
	}
	fmt.Println(last.Wait(), l.Last())
	// Output: <nil> 3
}

// A record can be used where it lies.
func ExampleLog_Load() {
	dir, remove := scratch()
	defer remove()
	ctx := context.Background()
	l, err := wal.Open(ctx, dir, wal.Options{SegmentSize: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	if err := l.Append([]byte("in place")).Wait(); err != nil {
		log.Fatal(err)
	}
	pin, err := l.Load(ctx, 1).Await(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer pin.Release()
	fmt.Printf("%s\n", pin.Bytes())
	// Output: in place
}

// A reader at the tail gets records as they become durable.
func ExampleLog_Tail() {
	dir, remove := scratch()
	defer remove()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, err := wal.Open(ctx, dir, wal.Options{SegmentSize: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		for i := range 3 {
			l.Append(fmt.Appendf(nil, "record %d", i+1))
		}
	}()
	for r, err := range l.Tail(ctx, 1) {
		if err != nil {
			break // the context is done
		}
		fmt.Printf("%s\n", r.Data)
		if r.Index == 3 {
			cancel()
		}
	}
	// Output:
	// record 1
	// record 2
	// record 3
}

// What a state machine has applied can be dropped from the front, and what a
// new leader has not seen from the back.
func ExampleLog_TruncateFront() {
	dir, remove := scratch()
	defer remove()
	ctx := context.Background()
	l, err := wal.Open(ctx, dir, wal.Options{SegmentSize: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	for i := range 10 {
		l.Append([]byte{byte(i)})
	}
	if _, err := l.Append([]byte("last")).Await(ctx); err != nil {
		log.Fatal(err)
	}
	if err := l.TruncateFront(4); err != nil {
		log.Fatal(err)
	}
	if err := l.TruncateBack(ctx, 8); err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.First(), l.Last())
	// Output: 4 8
}

func ExampleRecord() {
	dir, remove := scratch()
	defer remove()
	ctx := context.Background()
	l, err := wal.Open(ctx, dir, wal.Options{SegmentSize: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	if err := l.Append([]byte("kept")).Wait(); err != nil {
		log.Fatal(err)
	}
	var kept []wal.Record
	for r, err := range l.Range(ctx, 1) {
		if err != nil {
			log.Fatal(err)
		}
		r.Data = bytes.Clone(r.Data) // the original is valid until the loop goes on
		kept = append(kept, r)
	}
	fmt.Printf("%d %s\n", kept[0].Index, kept[0].Data)
	// Output: 1 kept
}

// A small map is kept beside the records, for what changes rarely.
func ExampleLog_Set() {
	dir, remove := scratch()
	defer remove()
	ctx := context.Background()
	l, err := wal.Open(ctx, dir, wal.Options{SegmentSize: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	if err := l.Set("applied", []byte("17")); err != nil {
		log.Fatal(err)
	}
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}
	l, err = wal.Open(ctx, dir, wal.Options{SegmentSize: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	value, ok := l.Get("applied")
	fmt.Printf("%s %t\n", value, ok)
	// Output: 17 true
}

// The zero Options are right for a server. This log is small, and shares a pool.
func ExampleOptions() {
	dir, remove := scratch()
	defer remove()
	ctx := context.Background()
	pool, err := async.NewPool(async.PoolOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	l, err := wal.Open(ctx, dir, wal.Options{
		SegmentSize:  1 << 20, // bytes of a file
		Spare:        2,       // files written ahead
		OpenSegments: 8,       // files mapped for readers
		Pool:         pool,    // has to be open for as long as the log is
	})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	fmt.Println(l.Write(ctx, []byte("small")))
	// Output: 1 <nil>
}

// A replicated log is told the index of each record. A record that would leave a
// gap, or overwrite another one, is refused.
func ExampleLog_AppendAt() {
	dir, remove := scratch()
	defer remove()
	ctx := context.Background()
	l, err := wal.Open(ctx, dir, wal.Options{SegmentSize: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	if err := l.Reset(1000); err != nil { // the records before come from a snapshot
		log.Fatal(err)
	}
	t := l.AppendAt(1000, []byte("x=1"), []byte("x=2"))
	fmt.Println(t.First(), t.Last(), t.Wait())
	err = l.AppendAt(1005, []byte("x=6")).Wait()
	fmt.Println(errors.Is(err, wal.ErrIndex))
	// Output:
	// 1000 1001 <nil>
	// true
}

// Read copies a record into a buffer of the caller, and reports which records the
// log does not hold.
func ExampleLog_Read() {
	dir, remove := scratch()
	defer remove()
	ctx := context.Background()
	l, err := wal.Open(ctx, dir, wal.Options{SegmentSize: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Write(ctx, []byte("one")); err != nil {
		log.Fatal(err)
	}
	var buf []byte
	for index := l.First(); ; index++ {
		buf, err = l.Read(index, buf[:0])
		if errors.Is(err, wal.ErrNotFound) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d %s\n", index, buf)
	}
	// Output: 1 one
}

func ExampleStats() {
	dir, remove := scratch()
	defer remove()
	ctx := context.Background()
	l, err := wal.Open(ctx, dir, wal.Options{SegmentSize: 1 << 20, NoVerify: true})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Write(ctx, []byte("a"), []byte("b")); err != nil {
		log.Fatal(err)
	}
	s := l.Stats()
	fmt.Println("records", s.First, "to", s.Last)
	fmt.Println("files: with records", s.Segments, "mapped", s.Mapped, "spare, at most 1:", s.Spares <= 1)
	fmt.Println("since opening:", s.Appends, "appends,", s.Records, "records,", s.Commits, "commits")
	fmt.Println("waits for durability:", s.Wait.Count(), "flushes:", s.Run.Count())
	// Output:
	// records 1 to 2
	// files: with records 1 mapped 1 spare, at most 1: true
	// since opening: 1 appends, 2 records, 1 commits
	// waits for durability: 1 flushes: 1
}
