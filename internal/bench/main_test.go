package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// lines runs the program and returns what it prints, by fields.
func lines(t *testing.T, args ...string) (all [][]string) {
	t.Helper()
	var out, errs bytes.Buffer
	if err := run(append(args, "-rounds", "1", "-time", "5ms", "-dir", t.TempDir()), &out, &errs); err != nil {
		t.Fatal(err)
	}
	if errs.Len() > 0 {
		t.Errorf("standard error: %s", &errs)
	}
	for l := range strings.Lines(out.String()) {
		all = append(all, strings.Split(strings.TrimSuffix(l, "\n"), "\t"))
	}
	return all
}

// Every workload that needs neither a cold cache nor a slow disk is run once, for as short a time as can be, against
// each of its peers. What the figures are is not looked at.
func TestWorkloadsRun(t *testing.T) {
	if testing.Short() {
		t.Skip("writes a few hundred MiB")
	}
	for _, tt := range []struct {
		workload string
		peers    int
	}{
		{"commit4k/8", 1}, {"append/64", 3}, {"hot/view", 1}, {"hot/readat4k", 2}, {"hot/parallel", 1}, {"open", 1},
		{"lock/idle", 1}, {"lock/64", 1}, {"lock/64files", 1}, {"future/1", 3}, {"future/256", 3},
	} {
		t.Run(tt.workload, func(t *testing.T) {
			got := lines(t, "-run", "^"+tt.workload+"$", "-spread")
			if len(got) != tt.peers {
				t.Fatalf("%d lines, want one for each of %d peers: %q", len(got), tt.peers, got)
			}
			for _, fields := range got {
				if len(fields) != 7 || fields[0] != tt.workload {
					t.Fatalf("the fields are %q", fields)
				}
				for _, i := range []int{1, 4, 5} {
					if v, err := strconv.ParseFloat(fields[i], 64); err != nil || v <= 0 {
						t.Errorf("field %d of %q is no figure", i, fields)
					}
				}
			}
		})
	}
}

func TestJSONAndPlots(t *testing.T) {
	if testing.Short() {
		t.Skip("writes a few hundred MiB")
	}
	dir := t.TempDir()
	for _, fields := range lines(t, "-run", "^commit/", "-json", "-plot", dir) {
		var l line
		if err := json.Unmarshal([]byte(fields[0]), &l); err != nil || !strings.HasPrefix(l.Workload, "commit/") || l.Ratio <= 0 {
			t.Errorf("%q is no line: %v", fields[0], err)
		}
	}
	svg, err := os.ReadFile(filepath.Join(dir, "commit.svg"))
	if err != nil || !bytes.Contains(svg, []byte("<svg")) || !bytes.Contains(svg, []byte("an msync per caller")) {
		t.Errorf("the plot is %d bytes, %v", len(svg), err)
	}
}

// The names that the figures are known by.
func TestNames(t *testing.T) {
	want := "commit/1 commit/8 commit/64 commit/256 commit4k/1 commit4k/8 commit4k/64 commit4k/256 scatter/64 scatter4k/64 append/64 " +
		"cold/4k cold/64k slow/4k slow/ticker hot/view hot/readat4k hot/parallel hot/far open grow/small grow/large " +
		"lock/idle lock/64 lock/64files future/1 future/256 copy"
	var got []string
	for _, w := range workloads() {
		got = append(got, w.name)
	}
	if strings.Join(got, " ") != want {
		t.Errorf("the workloads are %q", got)
	}
}

func TestWrongArguments(t *testing.T) {
	for _, args := range [][]string{{"-run", "("}, {"-rounds", "0"}, {"-time", "-1s"}, {"-dir", "/nowhere/at/all"}, {"-what"}} {
		var out, errs bytes.Buffer
		if err := run(args, &out, &errs); err == nil || out.Len() > 0 {
			t.Errorf("%q: %v, %q", args, err, &out)
		}
	}
}

func TestMedianAndRatio(t *testing.T) {
	if m := median([]float64{3, 1, 2}); m != 2 {
		t.Errorf("the median of three is %v", m)
	}
	if m := median([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Errorf("the median of four is %v", m)
	}
	if r := (workload{unit: "flushes/s"}).ratio(6, 3); r != 2 {
		t.Errorf("twice the work is %v", r)
	}
	if r := (workload{unit: "ns"}).ratio(6, 3); r != 0.5 {
		t.Errorf("twice the time is %v", r)
	}
}
