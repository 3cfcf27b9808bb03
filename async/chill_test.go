package async_test

import (
	"testing"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// chill takes the whole file out of memory, or skips the test where that is not
// possible.
func chill(t testing.TB, f *async.File) {
	t.Helper()
	// The page cache keeps what is mapped, so that goes first. Where there is no
	// such advice, there is no testutil.Cold either.
	_ = f.Core().Advise(core.AdviceDontNeed, 0, f.Core().Len())
	testutil.Cold(t, f.Core().Name())
}
