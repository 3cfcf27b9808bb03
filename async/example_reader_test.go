package async_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"log"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// A parser reads a mapped file as any stream. What comes next is brought in
// ahead, and no processor waits for a page.
func ExampleReader() {
	ctx := context.Background()
	f := async.Wrap(nil, core.NewMemory("words", []byte("\x02\x00one\ntwo\n")))
	defer f.Close()
	r, err := f.NewReader(ctx, 0, f.Core().Len())
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	head, err := r.Peek(2) // in place, without moving on
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("it begins with", head)
	n, err := async.Next[uint16](r, binary.LittleEndian)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "words")
	for s := bufio.NewScanner(r); s.Scan(); {
		fmt.Println(s.Text())
	}
	// Output:
	// it begins with [2 0]
	// 2 words
	// one
	// two
}
