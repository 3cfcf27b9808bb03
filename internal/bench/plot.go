package main

import (
	"fmt"
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
	for _, family := range []struct{ prefix, title string }{
		{"commit/", "durable flushes a second, file written by 1 MiB writes"},
		{"commit4k/", "durable flushes a second, file written by 4 KiB writes"},
	} {
		var points []line
		for _, l := range all {
			if strings.HasPrefix(l.Workload, family.prefix) {
				points = append(points, l)
			}
		}
		if len(points) < 2 {
			continue
		}
		name := filepath.Join(dir, strings.TrimSuffix(family.prefix, "/")+".svg")
		if err := os.WriteFile(name, []byte(chart(family.title, "callers", points)), 0o644); err != nil {
			return err
		}
	}
	return bars(dir, all)
}

const (
	width, height = 640, 360
	left, bottom  = 70, 50
	top, right    = 40, 150
)

// chart draws this library and the first peer over the number at the end of the
// workload's name, with two logarithmic scales.
func chart(title, axis string, points []line) string {
	x := func(l line) float64 {
		n, _ := strconv.ParseFloat(l.Workload[strings.LastIndex(l.Workload, "/")+1:], 64)
		return math.Log2(max(n, 1))
	}
	least, most := math.Inf(1), 0.0
	for _, l := range points {
		least, most = min(least, l.Ours, l.Theirs), max(most, l.Ours, l.Theirs)
	}
	lo, hi := math.Floor(math.Log10(least)), math.Ceil(math.Log10(most))
	last := x(points[len(points)-1])
	px := func(v float64) float64 { return left + v/max(last, 1)*(width-left-right) }
	py := func(v float64) float64 {
		return height - bottom - (math.Log10(v)-lo)/max(hi-lo, 1)*(height-top-bottom)
	}
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&s, `<rect width="%d" height="%d" fill="white"/><text x="%d" y="20" font-size="14">%s</text>`+"\n", width, height, left, title)
	for e := lo; e <= hi; e++ {
		y := py(math.Pow(10, e))
		fmt.Fprintf(&s, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.0f</text>`+"\n",
			left, width-right, y, y, left-6, y+4, math.Pow(10, e))
	}
	for _, l := range points {
		fmt.Fprintf(&s, `<text x="%.1f" y="%d" text-anchor="middle">%.0f</text>`+"\n", px(x(l)), height-bottom+18, math.Pow(2, x(l)))
	}
	fmt.Fprintf(&s, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (left+width-right)/2, height-12, axis)
	draw := func(colour, name string, y func(line) float64) {
		var path []string
		for _, l := range points {
			path = append(path, fmt.Sprintf("%.1f,%.1f", px(x(l)), py(y(l))))
		}
		fmt.Fprintf(&s, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(path, " "), colour)
		end := points[len(points)-1]
		fmt.Fprintf(&s, `<text x="%.1f" y="%.1f" fill="%s">%s</text>`+"\n", px(x(end))+6, py(y(end))+4, colour, name)
	}
	draw("#0a6", "fmmap", func(l line) float64 { return l.Ours })
	draw("#c40", points[0].Peer, func(l line) float64 { return l.Theirs })
	s.WriteString("</svg>\n")
	return s.String()
}

// bars draws the lateness of the ticker, one bar per side.
func bars(dir string, all []line) error {
	i := slices.IndexFunc(all, func(l line) bool { return l.Workload == "slow/ticker" })
	if i < 0 {
		return nil
	}
	l := all[i]
	most := max(l.Ours, l.Theirs)
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d 140" font-family="sans-serif" font-size="12">`+"\n", width)
	fmt.Fprintf(&s, `<rect width="%d" height="140" fill="white"/><text x="20" y="20" font-size="14">median lateness of a 100 µs ticker beside 64 readers of a 1 ms disk, µs</text>`+"\n", width)
	for row, b := range []struct {
		name, colour string
		v            float64
	}{{"fmmap", "#0a6", l.Ours}, {l.Peer, "#c40", l.Theirs}} {
		y := 40 + 45*row
		fmt.Fprintf(&s, `<text x="20" y="%d">%s</text><rect x="180" y="%d" width="%.1f" height="20" fill="%s"/><text x="%.1f" y="%d">%s</text>`+"\n",
			y+15, b.name, y, max(b.v/most*380, 1), b.colour, 186+b.v/most*380, y+15, figure(b.v))
	}
	s.WriteString("</svg>\n")
	return os.WriteFile(filepath.Join(dir, "ticker.svg"), []byte(s.String()), 0o644)
}
