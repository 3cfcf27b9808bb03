package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fmmap-go/fmmap/examples/internal/cli"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir) // on Windows
	own := filepath.Join(t.TempDir(), "own.txt")
	if err := os.WriteFile(own, []byte("one two\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"its own source", nil, "mapped main.go"},
		{"a file", []string{own}, "14 bytes, 2 lines, 3 words"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := run(context.Background(), c.args, &out, 50*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{c.want, "an msync each", "group commit", "records are there"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, &out)
				}
			}
		})
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A write to a pipe that has no reader ends a process, so nothing may be left
// in the temporary directory whenever something is printed.
func TestNoDirectoryIsLeftWhenOutputEnds(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir) // on Windows
	var out checkedWriter
	if err := run(context.Background(), nil, &out, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if out.writes == 0 || len(out.left) > 0 {
		t.Errorf("in %d writes these were left behind: %v", out.writes, out.left)
	}
}

// checkedWriter lists what the temporary directory holds at each write.
type checkedWriter struct {
	writes int
	left   []string
}

func (w *checkedWriter) Write(b []byte) (int, error) {
	w.writes++
	entries, err := os.ReadDir(os.TempDir())
	for _, e := range entries {
		w.left = append(w.left, e.Name())
	}
	return len(b), err
}

func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{filepath.Join(dir, "no")}, {dir}, {"a", "b"}, {"-x"}} {
		var out bytes.Buffer
		if err := run(context.Background(), args, &out, time.Millisecond); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

func TestWrongArgumentsPrintUsage(t *testing.T) {
	for _, args := range [][]string{{"-what"}, {"a", "b"}} {
		err := run(t.Context(), args, new(bytes.Buffer), time.Millisecond)
		if usage, ok := errors.AsType[*cli.UsageError](err); !ok || !strings.HasPrefix(usage.Usage, "usage: quickstart") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
