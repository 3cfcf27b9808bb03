package async_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// A store of many files, of which a few are open at a time.
func ExampleFileSet() {
	dir, err := os.MkdirTemp("", "store-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for i := range 100 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), fmt.Append(nil, i*i), 0o644); err != nil {
			log.Fatal(err)
		}
	}

	set, err := async.NewFileSet(nil, async.FileSetOptions{MaxOpen: 10})
	if err != nil {
		log.Fatal(err)
	}
	defer set.Close()
	ctx := context.Background()
	square := func(i int) string {
		l, err := set.Get(ctx, filepath.Join(dir, fmt.Sprint(i))).Await(ctx)
		if err != nil {
			log.Fatal(err)
		}
		defer l.Release()
		pin, err := l.File().Load(ctx, 0, l.File().Core().Len()).Await(ctx)
		if err != nil {
			log.Fatal(err)
		}
		defer pin.Release()
		return string(pin.Bytes())
	}
	for i := range 100 {
		square(i)
	}
	fmt.Println(square(12))
	st := set.Stats()
	fmt.Println(st.Opened, "files opened,", st.Reopened, "of them again;", st.Open, "are open")
	// Output:
	// 144
	// 101 files opened, 1 of them again; 10 are open
}

// A file with a lease stays open, whatever else is asked for.
func ExampleLease() {
	dir, err := os.MkdirTemp("", "store-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "greeting")
	if err := os.WriteFile(name, []byte("hello"), 0o644); err != nil {
		log.Fatal(err)
	}
	set, err := async.NewFileSet(nil, async.FileSetOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer set.Close()
	l, err := set.Get(context.Background(), name).Await(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	defer l.Release()
	b, err := l.File().Core().Clone()
	fmt.Println(string(b), err)
	if again, open := set.TryGet(name); open { // needs no future
		fmt.Println(again.File() == l.File())
		again.Release()
	}
	// Output:
	// hello <nil>
	// true
}

// A store that writes its files, and leaves most descriptors to its clients.
func ExampleFileSetOptions() {
	set, err := async.NewFileSet(nil, async.FileSetOptions{
		Open:    core.Options{Access: core.ReadWrite},
		MaxOpen: 200,
		Idle:    10 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer set.Close()
	fmt.Println(set.Stats().Open)
	// Output: 0
}

// The share of the uses that found their file open.
func ExampleFileSetStats() {
	share := func(st async.FileSetStats) float64 {
		return float64(st.Hits) / float64(st.Hits+st.Opened)
	}
	fmt.Println(share(async.FileSetStats{Hits: 99, Opened: 1}))
	// Output: 0.99
}
