package testutil

import (
	"testing"
	"time"
)

// patience is how long a test waits for what must happen: far longer than it
// takes on a machine that is busy with other tests, and shorter than the limit
// of go test.
const patience = 30 * time.Second

// WaitUntil returns when cond does, and fails the test when that takes longer
// than half a minute. It asks again and again, with pauses that grow to 20 ms.
// What must not happen cannot be tested with it; testing/synctest is for that.
func WaitUntil(t testing.TB, what string, cond func() bool) {
	t.Helper()
	if !poll(patience, cond) {
		t.Fatalf("in vain: waited %v until %s", patience, what)
	}
}

// poll asks cond until it is true or the time is over.
func poll(limit time.Duration, cond func() bool) bool {
	deadline := time.Now().Add(limit)
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		if cond() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		<-time.After(pause)
	}
}
