package torture

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fmmap-go/fmmap/internal/testutil"
	"github.com/fmmap-go/fmmap/internal/torture/disk"
)

// antsOwn are the two goroutines of ants' default pool: importing ants starts them, for good.
var antsOwn = []goleak.Option{
	goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
	goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"),
}

func TestMain(m *testing.M) {
	disk.Main()
	testutil.RunRole(map[string]func() error{
		"created": created,
		"doomed":  doomed,
		"limited": limited,
		"traced":  traced,
		"writer":  write,
	})
	goleak.VerifyTestMain(patient{m}, antsOwn...)
}

// patient gives the process's own pool, which cannot be closed, the time to let go of its goroutines: it
// does so after a second or two without work.
type patient struct{ *testing.M }

func (p patient) Run() int {
	code := p.M.Run()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		if goleak.Find(antsOwn...) == nil { // retries for 0.4 s
			break
		}
	}
	return code
}
