package core_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/fmmap-go/fmmap/core"
)

// Open maps a file for reading.
func ExampleOpen() {
	dir, remove := scratch()
	defer remove()
	name := filepath.Join(dir, "words")
	must(0, os.WriteFile(name, []byte("some words here"), 0o600))

	f, err := core.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	must(0, f.View(func(b []byte) error {
		fmt.Println(len(bytes.Fields(b)), "words")
		return nil
	}))
	// Output: 3 words
}

// Create maps a file of the given size for writing. It empties a file that is
// there already.
func ExampleCreate() {
	dir, remove := scratch()
	defer remove()

	f, err := core.Create(filepath.Join(dir, "table"), 4096)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	must(0, core.Put(f, 0, binary.LittleEndian, uint32(7)))
	must(0, f.Flush())
	fmt.Println(f.Len())
	// Output: 4096
}

// OpenFile opens as the options say: here it creates the file when absent, and
// makes it at least 1 KiB long.
func ExampleOpenFile() {
	dir, remove := scratch()
	defer remove()
	o := core.Options{Access: core.ReadWrite, Create: true, Size: 1 << 10}

	f, err := core.OpenFile(filepath.Join(dir, "journal"), o)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	fmt.Println(f.Access(), f.Len())
	// Output: read-write 1024
}

// Anonymous memory lies outside the heap: the collector does not look at it.
func ExampleNewAnonymous() {
	f, err := core.NewAnonymous(1<<20, core.Options{Access: core.ReadWrite})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	must(0, core.Put(f, 8, binary.LittleEndian, 1.5))
	fmt.Println(must(core.Get[float64](f, 8, binary.LittleEndian)))
	// Output: 1.5
}

// Tests of code that takes a *core.File need no file.
func ExampleNewMemory() {
	f := core.NewMemory("config", []byte("debug=1\n"))
	defer f.Close()
	fmt.Println(f.Name(), f.Len())
	// Output: config 8
}

// Put stores one value at any offset, in the byte order of the format.
func ExamplePut() {
	f := core.NewMemory("m", make([]byte, 7))
	defer f.Close()
	must(0, core.Put(f, 1, binary.BigEndian, uint16(0x1234)))
	must(0, core.Put(f, 3, binary.LittleEndian, uint32(0x1234)))
	fmt.Printf("% x\n", must(f.Clone()))
	// Output: 00 12 34 34 12 00 00
}

// Update changes bytes in place. The slice is valid until the function returns.
func ExampleFile_Update() {
	f := core.NewMemory("m", []byte("lower case"))
	defer f.Close()
	must(0, f.Update(func(b []byte) error {
		copy(b, bytes.ToUpper(b))
		return nil
	}))
	fmt.Printf("%s\n", must(f.Clone()))
	// Output: LOWER CASE
}

// ReadAt and WriteAt copy, as those of an os.File.
func ExampleFile_ReadAt() {
	f := core.NewMemory("m", []byte("hello, world"))
	defer f.Close()
	b := make([]byte, 5)
	must(f.ReadAt(b, 7))
	fmt.Printf("%s\n", b)
	// Output: world
}

func ExampleFile_WriteAt() {
	f := core.NewMemory("m", []byte("hello, world"))
	defer f.Close()
	must(f.WriteAt([]byte("there"), 7))
	fmt.Printf("%s\n", must(f.Clone()))
	// Output: hello, there
}

// What was stored before Flush survives a power cut once Flush has returned nil.
func ExampleFile_Flush() {
	dir, remove := scratch()
	defer remove()
	f := must(core.Create(filepath.Join(dir, "orders"), 100))
	defer f.Close()

	must(f.WriteAt([]byte("one coffee"), 0))
	if err := f.Flush(); err != nil {
		log.Fatal(err) // it may be lost: do not confirm it
	}
	fmt.Println("confirmed")
	// Output: confirmed
}

// FlushRange makes a part of the file durable.
func ExampleFile_FlushRange() {
	dir, remove := scratch()
	defer remove()
	f := must(core.Create(filepath.Join(dir, "orders"), 1<<20))
	defer f.Close()

	const at = 64 << 10
	n := must(f.WriteAt([]byte("one coffee"), at))
	if err := f.FlushRange(at, int64(n)); err != nil {
		log.Fatal(err)
	}
	fmt.Println("confirmed")
	// Output: confirmed
}
