package async_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

// antsOwn are the two goroutines of ants' default pool: importing ants starts
// them, for good. Nothing else is excused.
var antsOwn = []goleak.Option{
	goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
	goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"),
}

// TestMain checks that no goroutine is left.
func TestMain(m *testing.M) {
	testutil.VerifyMain(patient{m}, antsOwn...)
}

// patient gives the default pool, which cannot be closed, the time to let go of
// its goroutines: it does so after a second or two without work.
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
