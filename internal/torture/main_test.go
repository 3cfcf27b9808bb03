package torture

import (
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

func TestMain(m *testing.M) {
	disk.Main()
	testutil.RunRole(map[string]func() error{
		"created": created,
		"doomed":  doomed,
		"limited": limited,
		"traced":  traced,
		"writer":  write,
	})
	testutil.VerifyMain(m)
}
