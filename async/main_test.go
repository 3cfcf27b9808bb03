package async_test

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain checks that no goroutine is left. The two that it knows belong to
// the default pool of ants: importing ants starts them, for good.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"),
	)
}
