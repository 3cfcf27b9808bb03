package wal_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

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

// Tickets let an appender go on, and wait for several records at once.
func ExampleTicket() {
	dir, remove := scratch()
	defer remove()
	ctx := context.Background()
	l, err := wal.Open(ctx, dir, wal.Options{})
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
	l, err := wal.Open(ctx, dir, wal.Options{})
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
	l, err := wal.Open(ctx, dir, wal.Options{})
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
	l, err := wal.Open(ctx, dir, wal.Options{})
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
	l, err := wal.Open(ctx, dir, wal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	if err := l.Append([]byte("kept")).Wait(); err != nil {
		log.Fatal(err)
	}
	var kept []byte
	for r, err := range l.Range(ctx, 1) {
		if err != nil {
			log.Fatal(err)
		}
		kept = append(kept, r.Data...) // r.Data is valid until the loop goes on
	}
	fmt.Printf("%s\n", kept)
	// Output: kept
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
	l, err = wal.Open(ctx, dir, wal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	value, ok := l.Get("applied")
	fmt.Printf("%s %t\n", value, ok)
	// Output: 17 true
}

func ExampleStats() {
	dir, remove := scratch()
	defer remove()
	ctx := context.Background()
	l, err := wal.Open(ctx, dir, wal.Options{Spare: 2, NoVerify: true})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Write(ctx, []byte("a"), []byte("b")); err != nil {
		log.Fatal(err)
	}
	s := l.Stats()
	fmt.Println(s.Appends, s.Records, s.Commits, len(s.Latency) == wal.Buckets)
	// Output: 1 2 1 true
}

// Damage that no crash explains is reported, and repaired on request.
func ExampleRepair() {
	dir, remove := scratch()
	defer remove()
	ctx := context.Background()
	l, err := wal.Open(ctx, dir, wal.Options{SegmentSize: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		if err := l.Append([]byte("record")).Wait(); err != nil {
			log.Fatal(err)
		}
	}
	pin, err := l.Load(ctx, 3).Await(ctx)
	if err != nil {
		log.Fatal(err)
	}
	off := pin.Offset()
	pin.Release()
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}
	damageOneByte(dir, off)

	l, err = wal.Open(ctx, dir, wal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	var damage *wal.CorruptError
	fmt.Println(errors.As(l.Verify(ctx), &damage), damage.Offset == off-16)
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}
	r, err := wal.Repair(ctx, dir, wal.Options{})
	fmt.Println(r.Last, len(r.Aside), err)
	// Output:
	// true true
	// 2 1 <nil>
}

func damageOneByte(dir string, off int64) {
	names, _ := filepath.Glob(filepath.Join(dir, "segment-*.wal"))
	for _, name := range names {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			log.Fatal(err)
		}
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, off); err == nil && b[0] == 'r' {
			_, _ = f.WriteAt([]byte("R"), off)
		}
		_ = f.Close()
	}
}
