package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/examples/internal/cli"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

func TestMain(m *testing.M) { testutil.VerifyMain(m) }

// queue runs the program and returns what it prints.
func queue(t *testing.T, in string, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), args, strings.NewReader(in), &out); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return out.String()
}

func TestQueueSurvivesRestarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "jobs")
	queue(t, "", "-dir", dir, "put", "one", "two words")
	queue(t, "three\n\nfive\n", "-dir", dir, "put")
	if got := queue(t, "", "-dir", dir, "len"); got != "5\n" {
		t.Errorf("len: %q", got)
	}
	if got := queue(t, "", "-dir", dir, "take"); got != "one\n" {
		t.Errorf("take: %q", got)
	}
	if got := queue(t, "", "-dir", dir, "take", "3"); got != "two words\nthree\n\n" {
		t.Errorf("take 3: %q", got)
	}
	if got := queue(t, "", "-dir", dir, "take", "9"); got != "five\n" {
		t.Errorf("take 9: %q", got)
	}
	if got := queue(t, "", "-dir", dir, "len"); got != "0\n" {
		t.Errorf("len: %q", got)
	}
}

// stopper ends a context when it has seen enough lines.
type stopper struct {
	bytes.Buffer
	after int
	stop  func()
}

func (s *stopper) Write(b []byte) (int, error) {
	if s.after -= bytes.Count(b, []byte("\n")); s.after <= 0 {
		s.stop()
	}
	return s.Buffer.Write(b)
}

func TestFollowRemovesWhatItPrints(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "jobs")
	queue(t, "a\nb\nc\n", "-dir", dir, "put")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &stopper{after: 3, stop: cancel}
	if err := run(ctx, []string{"-dir", dir, "follow"}, nil, out); err != nil {
		t.Fatal(err)
	}
	if out.String() != "a\nb\nc\n" {
		t.Errorf("follow: %q", out.String())
	}
	if got := queue(t, "", "-dir", dir, "len"); got != "0\n" {
		t.Errorf("len after follow: %q", got)
	}
}

// failing is an output that cannot be written to.
type failing struct{ left int }

func (f *failing) Write(b []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errors.New("no more")
	}
	return len(b), nil
}

func TestLinesThatWereNotPrintedStay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "jobs")
	queue(t, "a\nb\nc\n", "-dir", dir, "put")
	if err := run(t.Context(), []string{"-dir", dir, "take", "3"}, nil, &failing{left: 1}); err == nil {
		t.Error("no error of the output")
	}
	if got := queue(t, "", "-dir", dir, "take", "3"); !strings.HasSuffix(got, "b\nc\n") {
		t.Errorf("after a failed take: %q", got)
	}
}

func TestWrongArguments(t *testing.T) {
	for _, args := range [][]string{{"len"}, {"-dir", "x"}, {"-dir", "x", "drop"}, {"-dir", "x", "take", "many"}, {"-wrong"}} {
		err := run(t.Context(), args, nil, &bytes.Buffer{})
		if _, ok := errors.AsType[*cli.UsageError](err); !ok {
			t.Errorf("%v: %v", args, err)
		}
	}
}
