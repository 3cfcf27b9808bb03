package async_test

import (
	"testing"

	"github.com/fmmap-go/fmmap/internal/seen"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

// TestMain checks that no goroutine is left. None is excused: importing this
// package starts none. What was seen in memory is forgotten when a test says so, and
// not when the clock does.
func TestMain(m *testing.M) {
	seen.Hold()
	testutil.VerifyMain(m)
}
