package sys

import (
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

func TestMain(m *testing.M) {
	testutil.PrivateMounts()
	testutil.VerifyMain(m)
}
