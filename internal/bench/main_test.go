package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// lines runs the program and returns what it prints, by fields.
func lines(t *testing.T, args ...string) (all [][]string) {
	t.Helper()
	var out, errs bytes.Buffer
	if err := run(append(args, "-rounds", "1", "-time", "5ms", "-quick", "-dir", t.TempDir()), &out, &errs); err != nil {
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

// Every workload that needs neither a cold cache nor a slow disk is run once,
// for a very short time, against each of its peers. The figures are not
// checked.
func TestWorkloadsRun(t *testing.T) {
	if testing.Short() {
		t.Skip("writes a few hundred MiB")
	}
	for _, tt := range []struct {
		workload string
		peers    int
	}{
		{"commit4k/8", 2}, {"spread/4", 2}, {"latency/commit/99", 2}, {"append/1", 4}, {"append/64", 7}, {"allocated/64", 4}, {"ahead", 1}, {"scatter/64", 1}, {"hot/put", 1}, {"hot/view", 1}, {"hot/readat4k", 2}, {"hot/parallel", 1}, {"open", 1},
		{"scale/pins", 1}, {"scale/changes", 1}, {"scale/ranges", 1}, {"files/100k", 2}, {"values/get", 1},
		{"lock/idle", 1}, {"lock/64", 1}, {"lock/64files", 1}, {"future/1", 3}, {"future/256", 3},
	} {
		t.Run(tt.workload, func(t *testing.T) {
			got := lines(t, "-run", "^"+tt.workload+"$", "-spread")
			if len(got) != tt.peers {
				t.Fatalf("%d lines, want one for each of %d peers: %q", len(got), tt.peers, got)
			}
			for _, fields := range got {
				if len(fields) == 8 && strings.HasPrefix(fields[7], "aim ") {
					fields = fields[:7]
				}
				if len(fields) != 7 || fields[0] != tt.workload {
					t.Fatalf("the fields are %q", fields)
				}
				for _, i := range []int{1, 4, 5} {
					if v, err := strconv.ParseFloat(fields[i], 64); err != nil || v <= 0 {
						t.Errorf("field %d of %q is not a positive number", i, fields)
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
			t.Errorf("%q is not a line of JSON: %v", fields[0], err)
		}
	}
	svg, err := os.ReadFile(filepath.Join(dir, "commit.svg"))
	if err != nil || !bytes.Contains(svg, []byte("<svg")) || !bytes.Contains(svg, []byte("an msync per caller")) {
		t.Errorf("the plot is %d bytes, %v", len(svg), err)
	}
}

// docs/figures.md has these names.
func TestNames(t *testing.T) {
	want := "commit/1 commit/8 commit/64 commit/256 commit4k/1 commit4k/8 commit4k/64 commit4k/256 scatter4k/64 " +
		"spread/1 spread/4 spread/16 spread/64 spread/tail latency/commit/50 latency/commit/99 latency/commit/99.9 latency/cold/50 latency/cold/99 latency/cold/99.9 " +
		"scatter/1 scatter/64 scatter/bytes append/bytes hot/put append/1 append/64 allocated/1 allocated/64 ahead frozen throttled " +
		"wal/append/1 wal/append/8 wal/append/64 raft/store/1x100 raft/store/10x100 raft/store/100x100 raft/store/1x1k raft/store/10x1k raft/store/100x1k " +
		"raft/store/1x10k raft/store/10x10k raft/store/100x10k raft/get/order raft/get/random raft/bytes " +
		"raft/open raft/open/tail raft/front raft/front/tail raft/back raft/back/tail raft/get/cold " +
		"cold/4k cold/64k cold/tail cold/cpu warm warm/begin warm/tail core/4k core/tail core/warm slow/4k slow/ticker hot/view hot/readat4k hot/parallel hot/far values/get values/put open grow/small grow/large " +
		"lock/idle lock/64 lock/64files future/1 future/256 copy " +
		"scale/pins scale/changes scale/ranges scale/waiters fair/load fair/open files/100k"
	var got []string
	for _, w := range workloads() {
		got = append(got, w.name)
	}
	if strings.Join(got, " ") != want {
		t.Errorf("the workloads are %q", got)
	}
}

// What is measured beside readers, with readers that need no disk.
func TestMeasuresOfReaders(t *testing.T) {
	c := config{time: 20 * time.Millisecond}
	do := func(int, *rand.Rand) error { runtime.Gosched(); return nil }
	for name, measure := range map[string]func(reader) (float64, error){
		"rate": c.readRate, "tail": c.readTail, "cost": c.readCost, "lateness": c.lateness,
	} {
		if v, err := measure(do); err != nil || v <= 0 {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
	w, err := c.warm(do)
	if err != nil || w.rate <= 0 || w.first <= 0 || w.late <= 0 {
		t.Errorf("warm: %+v, %v", w, err)
	}
	broken := errors.New("broken")
	if _, err := c.warm(func(int, *rand.Rand) error { return broken }); err != broken {
		t.Errorf("warm with a reader that fails: %v", err)
	}
}

func TestArgumentsAndStatus(t *testing.T) {
	for _, c := range []struct {
		args      string
		status    int
		out, errs string // how standard output and standard error begin
	}{
		{"-h", 0, "usage: bench", ""},
		{"-help", 0, "usage: bench", ""},
		{"-what", 2, "", "bench: flag provided but not defined: -what\nusage: bench"},
		{"-run (", 2, "", "bench: error parsing regexp"},
		{"-rounds 0", 2, "", "bench: -rounds and -time must be positive\nusage: bench"},
		{"-time -1s", 2, "", "bench: -rounds and -time must be positive\nusage: bench"},
		{"commit", 2, "", "bench: unexpected argument \"commit\"\nusage: bench"},
		{"-dir /nowhere/at/all", 1, "", "bench: stat /nowhere"},
	} {
		var out, errs bytes.Buffer
		if got := status(run(strings.Fields(c.args), &out, &errs), &errs); got != c.status {
			t.Errorf("%s: exit status %d, want %d", c.args, got, c.status)
		}
		for _, s := range []struct{ stream, got, want string }{{"output", out.String(), c.out}, {"error", errs.String(), c.errs}} {
			if !strings.HasPrefix(s.got, s.want) || s.want == "" && s.got != "" || strings.Contains(s.got, "help requested") {
				t.Errorf("%s: standard %s is %q, want %q", c.args, s.stream, s.got, s.want)
			}
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

// Every plot is made of the rows that it needs, and shows each side by name.
func TestPlots(t *testing.T) {
	var all []line
	for _, w := range []string{"commit/1", "commit/8", "commit4k/1", "commit4k/8", "spread/1", "spread/4", "spread/tail", "slow/ticker", "latency/commit/50", "latency/cold/99.9", "scatter/bytes"} {
		for i, peer := range []string{"one peer", "another peer"} {
			all = append(all, line{Workload: w, Peer: peer, Ours: 300, Theirs: float64(20 + i)})
		}
	}
	dir := t.TempDir()
	if err := plot(dir, all); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"commit", "commit4k", "spread", "ticker", "latency-commit", "latency-cold", "bytes"} {
		b, err := os.ReadFile(filepath.Join(dir, name+".svg"))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, part := range []string{"<svg", ">fmmap<", ">one peer<", ">another peer<", "</svg>"} {
			if !strings.Contains(string(b), part) {
				t.Errorf("%s.svg has no %q", name, part)
			}
		}
		if strings.Contains(string(b), "NaN") || strings.Contains(string(b), "Inf") {
			t.Errorf("%s.svg has a number that is none", name)
		}
		if strings.Contains(string(b), `text-anchor="middle">0<`) {
			t.Errorf("%s.svg has a place for a row without a number", name)
		}
	}
	text := courses(time.Second, []course{{name: "one"}, {name: "another", rate: [instants]float64{1e5}, late: [instants]float64{7}}})
	if !strings.Contains(text, ">another<") || strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Errorf("courses: %s", text)
	}
}
