package torture

import (
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

func TestMain(m *testing.M) {
	disk.Main()
	testutil.RunRole(map[string]func() error{
		"created":        created,
		"doomed":         doomed,
		"log writer":     writeLog,
		"limited":        limited,
		"locked ahead":   lockedAhead,
		"one descriptor": oneDescriptor,
		"resizer":        resize,
		"together":       storeTogether,
		"traced":         traced,
		"unlistable":     unlistable,
		"writer":         write,
	})
	testutil.VerifyMain(m)
}
