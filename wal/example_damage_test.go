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

// damaged makes a log of three records, of which the last is damaged on the disk.
func damaged() (dir string, remove func()) {
	dir, remove = scratch()
	ctx := context.Background()
	l, err := wal.Open(ctx, dir, wal.Options{SegmentSize: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := l.Write(ctx, []byte("first"), []byte("second"), []byte("third")); err != nil {
		log.Fatal(err)
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
	names, err := filepath.Glob(filepath.Join(dir, "segment-*.wal"))
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range names {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			log.Fatal(err)
		}
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, off); err == nil && b[0] == 't' { // else it is a spare
			_, _ = f.WriteAt([]byte("T"), off)
		}
		_ = f.Close()
	}
	return dir, remove
}

// Damage that no crash explains is reported with the place where it is. Records
// elsewhere can be read.
func ExampleCorruptError() {
	dir, remove := damaged()
	defer remove()
	ctx := context.Background()
	l, err := wal.Open(ctx, dir, wal.Options{SegmentSize: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	_, err = l.Read(3, nil)
	var damage *wal.CorruptError
	if errors.As(err, &damage) {
		matched, _ := filepath.Match("segment-*.wal", filepath.Base(damage.File))
		fmt.Println(matched, damage.Offset, damage.Reason)
	}
	fmt.Println(errors.Is(l.Verify(ctx), wal.ErrCorrupt))
	b, err := l.Read(2, nil)
	fmt.Printf("%s %v\n", b, err)
	// Output:
	// true 4144 the checksum does not match
	// true
	// second <nil>
}

// Repair cuts damage off, and keeps the bytes aside.
func ExampleRepair() {
	dir, remove := damaged()
	defer remove()
	ctx := context.Background()
	if _, err := wal.Repair(ctx, dir, wal.Options{SegmentSize: 1 << 20}); err != nil {
		log.Fatal(err)
	}
	l, err := wal.Open(ctx, dir, wal.Options{SegmentSize: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	fmt.Println(l.Last(), l.Verify(ctx))
	// Output: 2 <nil>
}

func ExampleRepaired() {
	dir, remove := damaged()
	defer remove()
	report := func(r wal.Repaired, err error) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("damage found:", r.Problem != nil, "last record:", r.Last, "files kept aside:", len(r.Aside) > 0)
	}
	ctx := context.Background()
	report(wal.Repair(ctx, dir, wal.Options{SegmentSize: 1 << 20}))
	report(wal.Repair(ctx, dir, wal.Options{SegmentSize: 1 << 20}))
	// Output:
	// damage found: true last record: 2 files kept aside: true
	// damage found: false last record: 2 files kept aside: false
}
