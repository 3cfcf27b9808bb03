package testutil

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

// AntsOwn are the two goroutines of ants' default pool: importing ants starts them, for good. Nothing else is excused
// where goroutines of async are looked for.
func AntsOwn() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"),
	}
}

// VerifyDefaultPoolMain is [VerifyMain] for tests that use async's default pool. That cannot be closed, and is given
// the time to let go of its goroutines: it does so after a second or two without work.
func VerifyDefaultPoolMain(m *testing.M) { VerifyMain(lingering{m}, AntsOwn()...) }

type lingering struct{ *testing.M }

func (l lingering) Run() int {
	code := l.M.Run()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		if goleak.Find(AntsOwn()...) == nil { // retries for 0.4 s
			break
		}
	}
	return code
}
