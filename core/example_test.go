package core_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fmmap-go/fmmap/core"
)

// must ends an example that cannot go on.
func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// scratch is a directory for an example, and what removes it.
func scratch() (dir string, remove func()) {
	dir = must(os.MkdirTemp("", "example"))
	return dir, func() { os.RemoveAll(dir) }
}

// A file is created, filled through the map and made durable; its readers see
// the bytes.
func Example() {
	dir, remove := scratch()
	defer remove()
	name := filepath.Join(dir, "greeting")

	f, err := core.Create(name, 20) // read-write, locked, its blocks allocated
	if err != nil {
		log.Fatal(err)
	}
	err = f.Update(func(b []byte) error { // b is the file, not a copy
		copy(b, "hello, mapped world!")
		return nil
	})
	if err == nil {
		err = f.Flush() // now it survives a power cut
	}
	if err != nil {
		log.Fatal(err) // also of a disk that failed under Update: there is no SIGBUS
	}
	if err := f.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", must(os.ReadFile(name)))
	// Output: hello, mapped world!
}

// The file is open elsewhere, here in another goroutine. Wait waits until that
// has closed it, for at most a minute.
func ExampleOptions_wait() {
	dir, remove := scratch()
	defer remove()
	name := filepath.Join(dir, "shared")
	holder, err := core.Create(name, 5)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		defer holder.Close()
		_ = holder.Update(func(b []byte) error { copy(b, "ready"); return nil })
	}()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	f, err := core.OpenFileContext(ctx, name, core.Options{Access: core.ReadWrite, Wait: true})
	if err != nil {
		log.Fatal(err) // "open ...: waiting for the lock: context deadline exceeded"
	}
	defer f.Close()
	fmt.Printf("%s\n", must(f.Clone()))
	// Output: ready
}

func ExampleFile() {
	f := core.NewMemory("table", []byte("no file behind it, but the same methods"))
	defer f.Close()
	fmt.Println(f.Name(), f.Len(), f.Access())

	if _, err := f.WriteAt([]byte("NO FILE"), 0); err != nil {
		log.Fatal(err)
	}
	if err := f.Truncate(17); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", must(f.Clone()))
	// Output:
	// table 39 read-write
	// NO FILE behind it
}

func ExampleFile_View() {
	f := core.NewMemory("words", []byte("zero-copy"))
	defer f.Close()
	err := f.View(func(b []byte) error {
		fmt.Println(len(b), string(b[:4])) // b is gone when this returns
		return nil
	})
	fmt.Println(err)
	// Output:
	// 9 zero
	// <nil>
}

// A copy is complete under its name, or it is not there at all.
func ExampleFile_CopyTo() {
	dir, remove := scratch()
	defer remove()
	f := core.NewMemory("state", []byte("header|state of the program"))
	defer f.Close()

	snapshot := filepath.Join(dir, "snapshot")
	if err := f.CopyTo(snapshot, 7, f.Len()-7); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", must(os.ReadFile(snapshot)))
	// Output: state of the program
}

// A copy is given up when its context ends, and nothing of it is left.
func ExampleFile_CopyToContext() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir, remove := scratch()
	defer remove()
	f := core.NewMemory("m", []byte("hello, world"))
	defer f.Close()
	err := f.CopyToContext(ctx, filepath.Join(dir, "copy"), 0, 5)
	fmt.Println(errors.Is(err, context.Canceled))
	// Output: true
}

// A copy is made in steps, between which the caller does other work or gives
// up.
func ExampleCopy() {
	dir, remove := scratch()
	defer remove()
	f := core.NewMemory("m", []byte("hello, world"))
	defer f.Close()
	c, err := f.StartCopy(filepath.Join(dir, "copy"), 0, 5)
	if err != nil {
		log.Fatal(err)
	}
	for done := false; !done; {
		if done, err = c.Step(); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Printf("%s\n", must(os.ReadFile(filepath.Join(dir, "copy"))))
	// Output: hello
}

func ExampleOptions() {
	dir, remove := scratch()
	defer remove()
	f, err := core.OpenFile(filepath.Join(dir, "log"), core.Options{
		Access:  core.ReadWrite,
		Create:  true,
		Size:    1 << 20, // with blocks, so that no store meets a full disk
		Offset:  4096,    // behind a header that others look after
		Reserve: 8 << 30, // address space: growing that far moves nothing
	})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	fmt.Println(f.Len())
	// Output: 1044480
}

// A table that other programs lengthen and shorten without a lock is stored to
// through the map alone: a store behind a new end is an error then, and never
// makes the file longer again.
func ExampleVia() {
	dir, remove := scratch()
	defer remove()
	f, err := core.OpenFile(filepath.Join(dir, "table"), core.Options{
		Access: core.ReadWrite, Create: true, Size: 4096, Stores: core.ViaMap,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("row"), 100); err != nil {
		log.Fatal(err)
	}
	fmt.Println(must(core.Get[uint8](f, 101, binary.LittleEndian)))
	// Output:
	// 111
}

// What is stored into a copy-on-write mapping stays in this process.
func ExampleAccess() {
	dir, remove := scratch()
	defer remove()
	name := filepath.Join(dir, "template")
	if err := os.WriteFile(name, []byte("Dear NAME"), 0o644); err != nil {
		log.Fatal(err)
	}
	f, err := core.OpenFile(name, core.Options{Access: core.CopyOnWrite})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("Anne"), 5); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", f.Access(), must(f.Clone()))
	fmt.Printf("the file: %s\n", must(os.ReadFile(name)))
	fmt.Println(errors.Is(f.Flush(), core.ErrReadOnly))
	// Output:
	// copy-on-write: Dear Anne
	// the file: Dear NAME
	// true
}

// A pin keeps its bytes where they are while the file grows.
func ExamplePin() {
	f := core.NewMemory("m", append(make([]byte, 0, 100), "pinned bytes"...))
	defer f.Close()
	p, err := f.Pin(7, 5)
	if err != nil {
		log.Fatal(err)
	}
	defer p.Release()

	if err := f.Truncate(100); err != nil { // waits for nothing
		log.Fatal(err)
	}
	err = p.Do(func(b []byte) error { // as p.Bytes(), and a fault becomes an error
		fmt.Println(string(b), p.Offset(), p.Len())
		return nil
	})
	fmt.Println(err, f.Len())
	// Output:
	// bytes 7 5
	// <nil> 100
}

// Two consumers own one part each of what was pinned at once, and the bytes are
// free after the last of them, even while the file is closing.
func ExamplePin_Slice() {
	f := core.NewMemory("m", []byte("key=value"))
	record, err := f.Pin(0, 9)
	if err != nil {
		log.Fatal(err)
	}
	closing, err := f.StartClose(func(*core.Change) { fmt.Println("unused") })
	if err != nil {
		log.Fatal(err)
	}
	key, _ := record.Slice(0, 3)
	value, _ := record.Slice(4, 5)
	record.Release()

	fmt.Println(string(key.Bytes()))
	key.Release()
	fmt.Println(string(value.Bytes()))
	value.Release()
	fmt.Println(closing.Finish())
	// Output:
	// key
	// value
	// unused
	// <nil>
}

// An engine keeps a pointer to the start of its file, and gets a new one when
// the file has grown.
func ExamplePin_Extend() {
	f := core.NewMemory("m", append(make([]byte, 0, 100), "header"...))
	defer f.Close()
	base, err := f.Pin(0, f.Len())
	if err != nil {
		log.Fatal(err)
	}
	defer func() { base.Release() }() // whichever it is by then

	if err := f.Truncate(100); err != nil {
		log.Fatal(err)
	}
	var moved bool
	base, moved, err = base.Extend(f.Len())
	fmt.Println(base.Len(), moved, err)
	// Output: 100 false <nil>
}

// A shrink that must wait for a pin holds no goroutine meanwhile.
func ExampleChange() {
	f := core.NewMemory("m", make([]byte, 1000))
	defer f.Close()
	p, err := f.Pin(900, 100)
	if err != nil {
		log.Fatal(err)
	}
	c, err := f.StartTruncate(10, func(*core.Change) { fmt.Println("ready") })
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("new operations see", f.Len())
	p.Release() // calls ready
	fmt.Println(c.Finish())
	// Output:
	// new operations see 10
	// ready
	// <nil>
}

func ExampleReader() {
	f := core.NewMemory("m", []byte("....the part that matters...."))
	defer f.Close()
	r, err := f.NewReader(4, 21)
	if err != nil {
		log.Fatal(err)
	}
	first := make([]byte, 8)
	if _, err := io.ReadFull(r, first); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q and %d more: ", first, r.Len())
	if _, err := r.WriteTo(os.Stdout); err != nil { // straight from the map
		log.Fatal(err)
	}
	// Output: "the part" and 13 more:  that matters
}

func ExampleWriter() {
	f := core.NewMemory("m", []byte("[..........]"))
	defer f.Close()
	w, err := f.NewWriter(1, 10)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.Copy(w, strings.NewReader("0123")); err != nil { // straight into the map
		log.Fatal(err)
	}
	n, err := w.WriteString("456789 and more")
	fmt.Println(n, errors.Is(err, core.ErrRange), errors.Is(err, io.ErrShortWrite))
	fmt.Printf("%s\n", must(f.Clone()))
	// Output:
	// 6 true true
	// [0123456789]
}

func ExampleAdvice() {
	dir, remove := scratch()
	defer remove()
	f, err := core.Create(filepath.Join(dir, "index"), 1<<20)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	// Lookups at random places: no read-ahead, and small folios in the page
	// cache.
	err = f.Advise(core.AdviceRandom, 0, f.Len())
	fmt.Println(err == nil || errors.Is(err, errors.ErrUnsupported)) // not every system knows it
	// Output: true
}

// Another process shortens a file that is mapped. Plain mmap would die of
// SIGBUS here.
func ExampleFaultError() {
	dir, remove := scratch()
	defer remove()
	f, err := core.OpenFile(filepath.Join(dir, "data"), core.Options{Access: core.ReadWrite, Create: true, Size: 1 << 20, NoLock: true})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(f.Name(), 0); err != nil {
		log.Fatal(err)
	}
	_, err = f.ReadAt(make([]byte, 1), 500_000)
	var fault *core.FaultError
	fmt.Println(errors.Is(err, core.ErrFault), errors.As(err, &fault) && fault.Offset == 500_000)
	fmt.Println(f.Refresh()) // takes the new length up
	// Output:
	// true true
	// 0 <nil>
}

// A flush that failed once has failed for good: what it should have written may
// be lost.
func ExampleFlushError() {
	dir, remove := scratch()
	defer remove()
	f, err := core.Create(filepath.Join(dir, "ledger"), 4096)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	var failed *core.FlushError
	switch err := f.Flush(); {
	case errors.As(err, &failed):
		fmt.Println("the disk said", failed.Err, "- write it all to another file")
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println("durable")
	}
	// Output: durable
}

// A file that an os.Root has opened is mapped, and needs no other descriptor.
func ExampleMap() {
	dir, remove := scratch()
	defer remove()
	root := must(os.OpenRoot(dir))
	defer root.Close()
	must(0, root.WriteFile("greeting", []byte("hello"), 0o600))

	opened, err := root.Open("greeting")
	if err != nil {
		log.Fatal(err)
	}
	f, err := core.Map(opened, core.Options{})
	opened.Close() // the map has its own
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	must(0, f.View(func(b []byte) error {
		_, err := os.Stdout.Write(b)
		return err
	}))
	// Output: hello
}
