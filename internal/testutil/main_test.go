package testutil_test

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

func TestMain(m *testing.M) {
	testutil.PrivateMounts()
	testutil.RunRole(map[string]func() error{
		"echo":  echo,
		"fail":  func() error { return errors.New("as it was told") },
		"syncs": syncs,
		"mount": mountAndWait,
	})
	testutil.VerifyMain(m)
}

// echo repeats each line that it receives, with its role.
func echo() error {
	for {
		line, ok := testutil.Hear()
		if !ok {
			testutil.Say("nothing more")
			return nil
		}
		testutil.Say("%s %s %s", testutil.Role(), line, os.Getenv("ECHO_TEST"))
	}
}

// A fake is a test whose end is a value to look at.
type fake struct {
	testing.TB
	outcome string // "fatal", "skip" or nothing
	errors  int
	cleanup []func()
}

func (f *fake) Helper()               {}
func (f *fake) Logf(string, ...any)   {}
func (f *fake) Cleanup(do func())     { f.cleanup = append(f.cleanup, do) }
func (f *fake) Errorf(string, ...any) { f.errors++ }
func (f *fake) Fatal(...any)          { f.end("fatal") }
func (f *fake) Fatalf(string, ...any) { f.end("fatal") }
func (f *fake) Skipf(string, ...any)  { f.end("skip") }
func (f *fake) end(outcome string)    { f.outcome = outcome; runtime.Goexit() }

// outcome runs a test and its cleanups, and returns how it ended.
func outcome(t *testing.T, test func(t testing.TB)) *fake {
	f, done := &fake{TB: t}, make(chan struct{})
	go func() { // ends with the test
		defer close(done)
		test(f)
	}()
	<-done
	for i := len(f.cleanup) - 1; i >= 0; i-- {
		f.cleanup[i]()
	}
	return f
}
