package core_test

import (
	"errors"
	"runtime"
	"testing"

	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/internal/sys"
)

// needsCutting skips a test that shortens a file under its mapping where the system refuses that.
func needsCutting(t testing.TB) {
	t.Helper()
	if sys.ShrinkNeedsUnmap {
		t.Skip("this system shortens no file that is mapped")
	}
}

// everyPinBlocks says that pins stand in the way of shrinking f wherever they are.
func everyPinBlocks(f *core.File) bool {
	return sys.ShrinkNeedsUnmap && f.Fd() != ^uintptr(0)
}

// missingHere says that err is the answer of a system that lacks what Linux has.
func missingHere(err error) bool {
	return runtime.GOOS != "linux" && errors.Is(err, errors.ErrUnsupported)
}
