package async_test

import (
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

// TestMain checks that no goroutine is left. None is excused: importing this
// package starts none.
func TestMain(m *testing.M) { testutil.VerifyMain(m) }
