package lane

import (
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

// TestMain checks that no goroutine is left.
func TestMain(m *testing.M) { testutil.VerifyMain(m) }
