package testutil_test

import (
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

func TestReexecSpeaksInLines(t *testing.T) {
	p := testutil.Reexec(t, "echo", "ECHO_TEST=with it")
	for _, word := range []string{"one", "two"} {
		p.Say("%s", word)
		if got, want := p.Hear(), "echo "+word+" with it"; got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
	rest, err := p.Wait()
	if strings.TrimSpace(rest) != "nothing more" || err != nil {
		t.Errorf("Wait() = %q, %v", rest, err)
	}
	p.Kill() // of one that has ended
	if testutil.Role() != "" {
		t.Error("a process that runs tests has a role")
	}
}

func TestReexecReportsFailure(t *testing.T) {
	for role, want := range map[string]string{"fail": "as it was told", "unheard of": `no role "unheard of"`} {
		if _, err := testutil.Reexec(t, role).Wait(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s ended with %v, want %q", role, err, want)
		}
	}
	end := outcome(t, func(t testing.TB) { testutil.Reexec(t, "fail").Hear() })
	if end.outcome == "" {
		t.Error("a line was heard of a process that says nothing")
	}
}

func TestKillEndsAProcess(t *testing.T) {
	p := testutil.Reexec(t, "echo")
	p.Kill()
	if _, err := p.Wait(); err == nil {
		t.Error("a killed process ended well")
	}
}
