package async_test

import (
	"context"
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
)

// check ends the test on an error.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// opened opens a file that is closed when the test ends, unless the test does
// so, and must close then.
func opened(t testing.TB, p *async.Pool, name string, o core.Options) *async.File {
	t.Helper()
	f, err := async.Open(context.Background(), p, name, o).Await(context.Background())
	check(t, err)
	t.Cleanup(func() { _ = f.Close(context.Background()).Wait() })
	return f
}
