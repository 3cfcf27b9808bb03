package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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

func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{filepath.Join(dir, "no")}, {dir}, {"a", "b"}, {"-x"}} {
		var out bytes.Buffer
		if err := run(context.Background(), args, &out, time.Millisecond); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}
