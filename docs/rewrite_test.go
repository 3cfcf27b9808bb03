package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fmmap-go/fmmap/internal/testutil"
)

// former is a program that uses each name of which the changelog has a rule in the
// way that it was used before.
const former = `package main

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/fmmap-go/fmmap/async"
	"github.com/fmmap-go/fmmap/core"
	"github.com/fmmap-go/fmmap/flush"
	"github.com/fmmap-go/fmmap/latency"
	"github.com/fmmap-go/fmmap/wal"
)

var advice = []core.Advice{
	core.Normal, core.Random, core.Sequential, core.WillNeed, core.DontNeed, core.Free, core.Remove,
	core.DontFork, core.DoFork, core.Mergeable, core.Unmergeable, core.Huge, core.NoHuge, core.DontDump, core.DoDump,
	core.Cold, core.PageOut, core.Collapse, core.PopulateRead, core.PopulateWrite,
}

var lanes = []async.Lane{async.Short, async.Flush, async.Page, async.Meta}

func resize(f *core.File, ready func()) error {
	_, err := f.StartTruncate(4096, nil)
	_, err2 := f.StartTruncate(8192, func() { ready() })
	_, err3 := f.StartClose(ready)
	return errors.Join(err, err2, err3)
}

func closed(err error) bool { return err == flush.ErrClosed || errors.Is(err, flush.ErrClosed) }

func futures(ctx context.Context, file *async.File, background *async.Background, pool *async.Pool) error {
	var l *async.Held
	_ = l
	_, err := background.Stop().Await(ctx)
	_, err2 := file.Close(ctx).Await(ctx)
	return errors.Join(err, err2, pool.Close(ctx), async.ErrCanceled)
}

func groups(ctx context.Context, committer *flush.Committer, background *flush.Background) error {
	return errors.Join(committer.Close(ctx), background.Stop(ctx), fs.ErrClosed)
}

func waits(c *flush.Committer, l *wal.Log) (time.Duration, uint64) {
	s := c.Stats()
	return s.WaitP50 + s.WaitP90 + s.WaitP99, uint64(l.Stats().Latency[wal.Buckets-1])
}

func main() {}
`

// Each rule of the changelog changes a program that uses the old name, and after
// all of them the program compiles.
func TestRulesRewriteAProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("runs gofmt for each rule and compiles, which takes a while")
	}
	gofmt, gotool := testutil.RequireTool(t, "gofmt"), testutil.RequireTool(t, "go")
	var rules []string
	for _, b := range blocks(t, "../CHANGELOG.md") {
		rules = append(rules, regexp.MustCompile(`(?m)^.* -> .*$`).FindAllString(b.text, -1)...)
	}
	if len(rules) < 20 {
		t.Fatalf("found %d rules, which is too few", len(rules))
	}
	t.Setenv("GOWORK", "off")
	dir := module(t, []block{{info: "go", text: former}})
	file := filepath.Join(dir, "0", "main.go")
	text := former
	for _, rule := range rules {
		if _, errs, err := command(dir, gofmt, "-w", "-r", rule, file); err != nil {
			t.Fatalf("%s: %v\n%s", rule, err, errs)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(b) == text {
			t.Errorf("%s changes nothing", rule)
		}
		text = string(b)
	}
	if _, errs, err := command(dir, gotool, "vet", "./..."); err != nil {
		t.Errorf("%v\n%s\n%s", err, errs, strings.TrimSpace(text))
	}
}
