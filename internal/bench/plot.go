package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// plot writes the plots that the results have figures for.
func plot(dir string, all []line) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range []struct{ file, title, axis, prefix string }{
		{"commit", "durable flushes a second, file written by 1 MiB writes", "callers", "commit/"},
		{"commit4k", "durable flushes a second, file written by 4 KiB writes", "callers", "commit4k/"},
		{"spread", "durable flushes a second of 64 callers", "files", "spread/"},
	} {
		points := of(all, func(name string) bool {
			n, ok := strings.CutPrefix(name, p.prefix)
			_, err := strconv.Atoi(n)
			return ok && err == nil
		})
		if len(points) > 1 {
			if err := writePlot(dir, p.file, chart(p.title, p.axis, points)); err != nil {
				return err
			}
		}
	}
	for _, p := range []struct {
		file, title string
		groups      []barGroup
	}{
		{"ticker", "lateness of a 100 µs ticker beside 64 readers of a 1 ms disk, median, µs", []barGroup{{"", "slow/ticker", 1}}},
		{"latency-commit", "how long one of 64 callers waits for a flush, µs", percentiles("latency/commit/")},
		{"latency-cold", "how long one of 64 readers waits for 4 KiB of a cold file, µs", percentiles("latency/cold/")},
		{"bytes", "bytes that the device writes for a byte that is stored", []barGroup{
			{"64 bytes, each flushed", "scatter/bytes", 1.0 / 64}, {"a log of 1 KiB records", "append/bytes", 1}, {"entries of Raft", "raft/bytes", 1},
		}},
	} {
		if text := bars(p.title, p.groups, all); text != "" {
			if err := writePlot(dir, p.file, text); err != nil {
				return err
			}
		}
	}
	return nil
}

func writePlot(dir, name, text string) error {
	return os.WriteFile(filepath.Join(dir, name+".svg"), []byte(text), 0o644)
}

// of returns the results of the workloads with such names.
func of(all []line, name func(string) bool) (some []line) {
	for _, l := range all {
		if name(l.Workload) {
			some = append(some, l)
		}
	}
	return some
}

const (
	width, height = 720, 360
	left, bottom  = 70, 50
	top, right    = 40, 230
)

// colours are those of this library and of its peers in turn. They are told apart
// on white, also by people who do not see red and green.
var colours = []string{"#008a5a", "#d55e00", "#0072b2", "#7a5195", "#a67c00", "#555555"}

// head begins a picture. Its background is white, so that it can be read on a dark
// page.
func head(s *strings.Builder, height int, title string) {
	fmt.Fprintf(s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(s, `<rect width="%d" height="%d" fill="white"/><text x="20" y="20" font-size="14">%s</text>`+"\n", width, height, title)
}

// A series is a side over the numbers at the ends of the workloads' names.
type series struct {
	name   string
	values map[float64]float64
}

// seriesOf returns this library and all peers.
func seriesOf(points []line) []series {
	all := []series{{"fmmap", map[float64]float64{}}}
	for _, l := range points {
		n, _ := strconv.ParseFloat(l.Workload[strings.LastIndex(l.Workload, "/")+1:], 64)
		all[0].values[n] = l.Ours
		i := slices.IndexFunc(all, func(s series) bool { return s.name == l.Peer })
		if i < 0 {
			i = len(all)
			all = append(all, series{l.Peer, map[float64]float64{}})
		}
		all[i].values[n] = l.Theirs
	}
	return all
}

// chart draws all sides over the numbers at the ends of the workloads' names, with
// two logarithmic scales.
func chart(title, axis string, points []line) string {
	all := seriesOf(points)
	least, most, last := math.Inf(1), 0.0, 1.0
	for _, s := range all {
		for n, v := range s.values {
			least, most, last = min(least, v), max(most, v), max(last, n)
		}
	}
	lo, hi := math.Floor(math.Log10(least)), math.Ceil(math.Log10(most))
	px := func(n float64) float64 { return left + math.Log2(max(n, 1))/max(math.Log2(last), 1)*(width-left-right) }
	py := func(v float64) float64 { return height - bottom - (math.Log10(v)-lo)/max(hi-lo, 1)*(height-top-bottom) }
	var s strings.Builder
	head(&s, height, title)
	grid(&s, lo, hi, py)
	for _, n := range slices.Sorted(maps.Keys(all[0].values)) {
		fmt.Fprintf(&s, `<text x="%.1f" y="%d" text-anchor="middle">%.0f</text>`+"\n", px(n), height-bottom+18, n)
	}
	fmt.Fprintf(&s, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (left+width-right)/2, height-12, axis)
	names := make([]label, len(all))
	for i, one := range all {
		ns := slices.Sorted(maps.Keys(one.values))
		var path []string
		for _, n := range ns {
			path = append(path, fmt.Sprintf("%.1f,%.1f", px(n), py(one.values[n])))
		}
		fmt.Fprintf(&s, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(path, " "), colours[i%len(colours)])
		end := ns[len(ns)-1]
		names[i] = label{one.name, colours[i%len(colours)], px(end) + 6, py(one.values[end]) + 4}
	}
	labels(&s, names)
	s.WriteString("</svg>\n")
	return s.String()
}

// grid draws a line for each power of ten from 10^lo to 10^hi, where py places it.
func grid(s *strings.Builder, lo, hi float64, py func(float64) float64) {
	for e := lo; e <= hi; e++ {
		y := py(math.Pow(10, e))
		fmt.Fprintf(s, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.0f</text>`+"\n",
			left, width-right, y, y, left-6, y+4, math.Pow(10, e))
	}
}

// A label is the name at the end of a line.
type label struct {
	name, colour string
	x, y         float64
}

// labels draws names so that none covers another.
func labels(s *strings.Builder, names []label) {
	slices.SortFunc(names, func(a, b label) int { return cmp.Compare(a.y, b.y) })
	y := math.Inf(-1)
	for _, l := range names {
		y = max(l.y, y+14)
		fmt.Fprintf(s, `<text x="%.1f" y="%.1f" fill="%s">%s</text>`+"\n", l.x, y, l.colour, l.name)
	}
}

// A barGroup is a group of bars: the sides of one workload, times a factor.
type barGroup struct {
	name, workload string
	factor         float64
}

func percentiles(prefix string) (groups []barGroup) {
	for _, p := range []string{"50", "99", "99.9"} {
		groups = append(groups, barGroup{"p" + p, prefix + p, 1})
	}
	return groups
}

// bars draws a bar for each side of each group that there are results of, on a
// logarithmic scale. It returns "" if there are none.
func bars(title string, groups []barGroup, all []line) string {
	type bar struct {
		group, name string
		v           float64
		colour      string
	}
	var rows []bar
	least, most := math.Inf(1), 0.0
	for _, g := range groups {
		name := g.name
		results := of(all, func(name string) bool { return name == g.workload })
		for i, one := range seriesOf(results) {
			for _, v := range one.values {
				v *= g.factor
				rows = append(rows, bar{name, one.name, v, colours[i%len(colours)]})
				least, most, name = min(least, v), max(most, v), ""
			}
		}
	}
	if len(rows) == 0 {
		return ""
	}
	lo := math.Floor(math.Log10(least)*2-0.5) / 2 // the shortest bar is seen too
	const from, line = 340, 22
	var s strings.Builder
	head(&s, 50+line*len(rows)+12*len(groups), title+" (logarithmic)")
	y := 32
	for _, b := range rows {
		if b.group != "" {
			y += 8
		}
		w := (math.Log10(b.v) - lo) / (math.Log10(most) - lo) * (width - from - 70)
		fmt.Fprintf(&s, `<text x="20" y="%d">%s</text><text x="%d" y="%d" text-anchor="end">%s</text>`, y+13, b.group, from-8, y+13, b.name)
		fmt.Fprintf(&s, `<rect x="%d" y="%d" width="%.1f" height="16" fill="%s"/><text x="%.1f" y="%d">%s</text>`+"\n",
			from, y, w, b.colour, from+6+w, y+13, figure(b.v))
		y += line
	}
	s.WriteString("</svg>\n")
	return s.String()
}
