//go:build !linux

package async_test

import (
	"testing"

	"github.com/fmmap-go/fmmap/async"
)

// chill takes the whole file out of memory, which only Linux can be asked for.
func chill(t testing.TB, _ *async.File) {
	t.Helper()
	t.Skip("no call here that takes a file out of the page cache")
}
