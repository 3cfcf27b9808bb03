package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

var bench = command{
	name: "bench", args: "[-json] [-time DURATION] [-size BYTES] FILE|DIR",
	brief: "measure what a disk does, and recommend settings",
	help: `Measures reads of a FILE, or reads and durable writes in a new file in DIR, which
is removed at the end, also of an interrupted run. Each row stands beside what the
same work is by read(2), write(2) and fsync(2); a ratio above 1 means that this
library is faster. From the rows it recommends settings.

  commit/N  N callers store 64 bytes and await that they are durable
  append/N  N callers append records of 256 bytes to a log, durably
  cold/SIZE 64 readers at random places of a file that is not in memory
  hot/4k    reads of 4 KiB that are in memory, by one reader
  page/W    cold/4k with a lane Page of W workers
  files/W   commit/64 over four files with a lane Flush of W workers

A FILE is not written to, but its pages leave the page cache, as by evict; other
programs have to read them again. Figures of a disk that is in use vary: run it
more than once. It exits with 0, with 1 when a row failed, and with 2 when it was
called wrongly; a row that cannot be measured here says why and is no failure.`,
	run: runBench,
}

func runBench(ctx context.Context, c *call) int {
	total := c.Duration("time", 20*time.Second, "about how long to measure in all")
	size := c.Int64("size", 256<<20, "length of the new file in DIR, in bytes")
	if code, ok := c.parse(1, 1); !ok {
		return code
	}
	if *total <= 0 || *size < 1<<20 {
		return c.usage("the time must be positive, and the size 1 MiB or more")
	}
	if err := c.bench(ctx, c.Arg(0), *total, *size); err != nil {
		return c.fail(err)
	}
	return exitOK
}

// bench measures the file or folder and writes the rows as they come.
func (c *call) bench(ctx context.Context, name string, total time.Duration, size int64) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	m := measurement{ctx: ctx, name: name}
	rows := m.reads()
	if info.IsDir() {
		dir, err := os.MkdirTemp(name, "fmmap-bench-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		m.dir, m.name = dir, filepath.Join(dir, "data")
		if err := m.fill(size, func(done int64) { c.progress("writing", done, size) }); err != nil {
			return err
		}
		rows = append(m.writes(), rows...)
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: neither a regular file nor a folder", name)
	}
	parts := 0
	for _, r := range rows {
		parts += len(r.sides())
	}
	m.each = total / time.Duration(parts)
	found := figures{}
	if !*c.json {
		fmt.Fprintf(c.stdout, "%-10s %12s   %-28s %12s %6s\n", "row", "per second", "beside", "per second", "ratio")
	}
	for i, r := range rows {
		c.progress(r.name, int64(i), int64(len(rows)))
		f, err := m.row(r)
		c.clear()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		found[r.name] = f
		if err := c.figure(f); err != nil {
			return err
		}
	}
	return c.advise(found)
}

// A figure is what a row has measured.
type figure struct {
	Row       string  `json:"row"`
	PerSecond float64 `json:"per_second,omitempty"`
	Peer      string  `json:"peer,omitempty"`
	Beside    float64 `json:"peer_per_second,omitempty"`
	Ratio     float64 `json:"ratio,omitempty"`
	Missing   string  `json:"missing,omitempty"` // why there is no figure
}

type figures map[string]figure

func (c *call) figure(f figure) error {
	if *c.json {
		return c.encode(f)
	}
	var err error
	switch {
	case f.Missing != "":
		_, err = fmt.Fprintf(c.stdout, "%-10s %s\n", f.Row, f.Missing)
	case f.Peer == "":
		_, err = fmt.Fprintf(c.stdout, "%-10s %12.0f\n", f.Row, f.PerSecond)
	default:
		_, err = fmt.Fprintf(c.stdout, "%-10s %12.0f   %-28s %12.0f %6.2f\n", f.Row, f.PerSecond, f.Peer, f.Beside, f.Ratio)
	}
	return err
}

// A recommendation is what the figures say about settings. A zero value means
// that there are no figures for it.
type recommendation struct {
	FlushWidth int           `json:"flush_width,omitempty"` // of async.PoolOptions
	PageWidth  int           `json:"page_width,omitempty"`
	Interval   time.Duration `json:"interval_ns,omitempty"` // of flush.Policy
	Notes      []string      `json:"notes"`
}

// advise writes the recommendation.
func (c *call) advise(f figures) error {
	r := f.recommend()
	if *c.json {
		return c.encode(map[string]recommendation{"recommendation": r})
	}
	var text strings.Builder
	text.WriteString("\nrecommended\n")
	if r.FlushWidth > 0 || r.PageWidth > 0 {
		var lanes []string
		for _, l := range []struct {
			name  string
			width int
		}{{"Flush", r.FlushWidth}, {"Page", r.PageWidth}} {
			if l.width > 0 {
				lanes = append(lanes, fmt.Sprintf("%s: async.LaneOptions{Width: %d}", l.name, l.width))
			}
		}
		fmt.Fprintf(&text, "  async.PoolOptions{%s}\n", strings.Join(lanes, ", "))
	}
	if r.Interval > 0 {
		fmt.Fprintf(&text, "  flush.Policy{Interval: %d * time.Millisecond}\n", r.Interval.Milliseconds())
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&text, "  %s\n", n)
	}
	_, err := io.WriteString(c.stdout, text.String())
	return err
}

const (
	busy   = 0.05 // share of its time that a device may spend on the flushes of a policy
	enough = 0.8  // of the best rate, for a narrower lane to be chosen: rates vary that much
)

// recommend derives settings from the figures.
func (f figures) recommend() recommendation {
	r := recommendation{
		FlushWidth: f.narrowest("files/"),
		PageWidth:  f.narrowest("page/"),
		Notes:      []string{},
	}
	note := func(format string, args ...any) { r.Notes = append(r.Notes, fmt.Sprintf(format, args...)) }
	if one, ok := f.known("commit/1"); ok {
		took := time.Duration(float64(time.Second) / one.PerSecond)
		r.Interval = time.Duration(math.Ceil(took.Seconds()/busy*1000)) * time.Millisecond
		note("One flush takes %v; at that interval the device spends %.0f %% of its time on them.", took.Round(time.Microsecond), 100*busy)
		if many, ok := f.known("commit/64"); ok {
			if gain := many.PerSecond / one.PerSecond; gain >= 2 {
				note("64 callers that share flushes get %.0f times as many as one: await FlushRange, flush.Committer or wal.", gain)
			} else {
				note("Callers that share flushes gain little here (%.1f times): a flush costs less than the way to it.", gain)
			}
		}
	}
	small, ok := f.known("cold/4k")
	large, ok2 := f.known("cold/64k")
	if ok && ok2 {
		if gain := 16 * large.PerSecond / small.PerSecond; gain >= 2 {
			note("Cold reads of 64 KiB bring %.0f times the bytes of 4 KiB: ask for neighbors together.", gain)
		}
		if small.Ratio < 1 {
			note("read(2) serves cold reads of 4 KiB %.1f times as fast here: choose mapped reads for what is mostly in memory.", 1/small.Ratio)
		}
	}
	if len(r.Notes) == 0 && r.FlushWidth == 0 && r.PageWidth == 0 {
		note("The defaults: nothing was measured that speaks for others.")
	}
	return r
}

func (f figures) known(row string) (figure, bool) {
	got, ok := f[row]
	return got, ok && got.Missing == "" && got.PerSecond > 0
}

// narrowest returns the least width whose row, named by prefix and width, has
// enough of the best rate, and 0 if there are no such rows.
func (f figures) narrowest(prefix string) int {
	best := 0.0
	for _, w := range widths {
		best = max(best, f[fmt.Sprint(prefix, w)].PerSecond)
	}
	for _, w := range widths {
		if got, ok := f.known(fmt.Sprint(prefix, w)); ok && got.PerSecond >= enough*best {
			return w
		}
	}
	return 0
}

// widths are the widths of a lane that are tried.
var widths = []int{1, 2, 4}
