package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/examples/internal/cli"
	"github.com/fmmap-go/fmmap/internal/testutil"
)

func TestMain(m *testing.M) {
	testutil.VerifyMain(m)
}

func TestPipeline(t *testing.T) {
	b := bytes.Repeat([]byte("line of the test\n"), 20_000)
	name := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, chunk := range []int{1000, 4096, 100_000, len(b), 10 * len(b)} {
		var out, progress bytes.Buffer
		table := filepath.Join(t.TempDir(), "out")
		args := []string{"-chunk", fmt.Sprint(chunk), "-workers", "1", "-out", table, name}
		if err := run(context.Background(), args, &out, &progress); err != nil {
			t.Fatal(err)
		}
		all := sha256.New()
		for rest := b; len(rest) > 0; rest = rest[min(chunk, len(rest)):] {
			d := sha256.Sum256(rest[:min(chunk, len(rest))])
			all.Write(d[:])
		}
		want := fmt.Sprintf("%d bytes in %d chunks, 20000 lines, commonest byte 0x20, digest of digests %x\n", len(b), (len(b)+chunk-1)/chunk, all.Sum(nil)[:8])
		if !strings.HasSuffix(out.String(), want) {
			t.Errorf("got  %swant %s", &out, want)
		}
		if !strings.HasSuffix(progress.String(), "100 %\n") {
			t.Errorf("progress ended with %q", progress.String())
		}
		if fi, err := os.Stat(table); err != nil || fi.Size() != int64((len(b)+chunk-1)/chunk)*row {
			t.Errorf("the table: %v, %v", fi.Size(), err)
		}
	}
}

func TestGeneratedAndEmpty(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir) // on Windows
	var out bytes.Buffer
	if err := run(context.Background(), []string{"-size", "3000001"}, &out, nil); err != nil || !strings.Contains(out.String(), "3000001 bytes in 3 chunks") {
		t.Errorf("%v: %s", err, &out)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := run(context.Background(), []string{empty}, &out, nil); err != nil || !strings.Contains(out.String(), "0 bytes in 0 chunks") {
		t.Errorf("%v: %s", err, &out)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// interrupting ends the context when the pipeline first reports progress.
type interrupting struct{ cancel context.CancelFunc }

func (i interrupting) Write(b []byte) (int, error) { i.cancel(); return len(b), nil }

func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir) // on Windows
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	args := []string{"-size", "8000000", "-chunk", "4096", "-out", filepath.Join(dir, "table")}
	err := run(ctx, args, new(bytes.Buffer), interrupting{cancel})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if err := run(context.Background(), []string{"-h"}, &out, nil); !errors.Is(err, flag.ErrHelp) || !strings.HasPrefix(out.String(), "usage: pipeline") {
		t.Errorf("got %v and %q", err, &out)
	}
}

func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{dir}, {filepath.Join(dir, "no")}, {"a", "b"}, {"-chunk", "0"}, {"-ahead", "-1"}, {"-workers", "0"}, {"-size", "-5"}, {"-x"}} {
		if err := run(context.Background(), args, new(bytes.Buffer), nil); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

func TestWrongArgumentsPrintUsage(t *testing.T) {
	for _, args := range [][]string{{"-what"}, {"-chunk", "0"}, {"a", "b"}, {"-workers", "x"}} {
		err := run(t.Context(), args, new(bytes.Buffer), nil)
		if usage, ok := errors.AsType[*cli.UsageError](err); !ok || !strings.HasPrefix(usage.Usage, "usage: pipeline") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
