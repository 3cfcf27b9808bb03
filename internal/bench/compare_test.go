package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	old := []line{{Workload: "w", Peer: "p", Ratio: 2, Least: 1.8, Greatest: 2.2}}
	for _, c := range []struct {
		name                   string
		workload               string
		ratio, least, greatest float64
		worse, none            bool
	}{
		{"the same", "w", 2, 1.8, 2.2, false, false},
		{"better", "w", 4, 3, 5, false, false},
		{"lower, within the spread", "w", 1.5, 1.2, 1.9, false, false},
		{"below the spread by less than a tenth", "w", 1.7, 1.65, 1.75, false, false},
		{"below the spread by more than a tenth", "w", 1.5, 1.4, 1.6, true, false},
		{"another workload", "v", 1, 1, 1, false, true},
	} {
		var out bytes.Buffer
		err := compare(old, []line{{Workload: c.workload, Peer: "p", Ratio: c.ratio, Least: c.least, Greatest: c.greatest}}, &out)
		if errors.Is(err, errWorse) != c.worse || (err != nil) != (c.worse || c.none) {
			t.Errorf("%s: %v", c.name, err)
		}
		if strings.HasPrefix(out.String(), "worse: w against p: ") != c.worse {
			t.Errorf("%s: it prints %q", c.name, &out)
		}
	}
}

func TestCompareWithFile(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	of := func(ratio float64) []byte {
		b, err := json.Marshal(line{Workload: "hot/view", Peer: "raw slice", Ratio: ratio, Least: ratio, Greatest: ratio})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		name, old string
		status    int
		errs      string
	}{
		{"much better before", file("fast", of(1e9)), 1, "worse: hot/view against raw slice: "},
		{"much worse before", file("slow", of(1e-9)), 0, ""},
		{"empty", file("empty", nil), 1, "bench: " + filepath.Join(dir, "empty") + " has no results"},
		{"no JSON", file("text", []byte("x")), 1, "bench: " + filepath.Join(dir, "text") + ":1: "},
	} {
		var out, errs bytes.Buffer
		args := []string{"-run", "^hot/view$", "-rounds", "1", "-time", "5ms", "-quick", "-dir", dir, "-compare", c.old}
		if got := status(run(args, &out, &errs), &errs); got != c.status || !strings.HasPrefix(errs.String(), c.errs) {
			t.Errorf("%s: exit status %d, want %d; standard error is %q", c.name, got, c.status, &errs)
		}
	}
}
