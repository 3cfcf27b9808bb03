//go:build go1.27

package async_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

func TestReaderNextAsAMethod(t *testing.T) {
	p := open(t, async.PoolOptions{})
	f := async.Wrap(p, core.NewMemory("values", []byte{1, 2, 3, 4, 5}))
	closedAtEnd(t, f)
	r, err := f.NewReader(bg, 0, 5)
	check(t, err)
	defer r.Close()
	if v, err := r.Next[uint32](binary.BigEndian); v != 0x01020304 || err != nil {
		t.Errorf("got %#x, %v", v, err)
	}
	if _, err := r.Next[uint32](binary.BigEndian); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("at the end: %v", err)
	}
}

// With Go 1.27 futures can be chained.
func ExampleFuture_Then() {
	ctx := context.Background()
	length := func(_ context.Context, s string) (int, error) { return len(s), nil }
	square := func(_ context.Context, n int) (int, error) { return n * n, nil }
	n, err := async.Ready("seven").Then(ctx, nil, length).Then(ctx, nil, square).Await(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n)
	// Output: 25
}
