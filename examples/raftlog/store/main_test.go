package store

import (
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

func TestMain(m *testing.M) { testutil.VerifyMain(m) }
